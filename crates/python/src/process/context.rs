//! What a handler in Python has of its process.

use std::{
    os::fd::OwnedFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use process::Voice;
use pyo3::{exceptions::PyOSError, prelude::*};
use rustix::{
    event::epoll,
    process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
};

use crate::codec::{self, Codec};

/// A process's view of the world, without what only its event loop can lend: that is wished for here, and granted when
/// the handler has returned.
#[pyclass(frozen, module = "framewire._core")]
pub struct ChildContext {
    name: String,
    voice: Voice,
    /// Whether the parent is Python.
    pickles: bool,
    next_number: AtomicU64,
    wishes: Mutex<Vec<Wish>>,
    has_guest: AtomicBool,
}

/// What only the event loop can do.
pub enum Wish {
    Watch { number: u64, descriptor: OwnedFd, callback: Py<PyAny> },
    Unwatch(u64),
    Timer,
}

impl ChildContext {
    pub fn new(name: String, voice: Voice, pickles: bool) -> Self {
        let (next_number, wishes) = (AtomicU64::new(1), Mutex::default());
        Self { name, voice, pickles, next_number, wishes, has_guest: AtomicBool::new(false) }
    }

    pub fn take_wishes(&self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether Python's own loop wants its turns.
    pub fn has_guest(&self) -> bool {
        self.has_guest.load(Ordering::Relaxed)
    }

    fn wish(&self, wish: Wish) {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner).push(wish);
    }
}

#[pymethods]
impl ChildContext {
    /// This process's name.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Says something unasked.
    fn emit(&self, py: Python<'_>, event: &Bound<'_, PyAny>) -> PyResult<()> {
        let event = codec::dumps(event, if self.pickles { Codec::Pickle } else { Codec::MessagePack })?;
        // By its overflow policy it may wait for somebody to read.
        py.detach(|| self.voice.emit(&event));
        Ok(())
    }

    /// Says that the command being handled goes on.
    fn progress(&self) {
        self.voice.progress();
    }

    /// Whether the answer to the call being handled isn't wanted any more.
    fn is_cancelled(&self) -> bool {
        self.voice.is_cancelled()
    }

    /// Has `callback` called whenever the descriptor is readable; gives the number that ends it.
    fn watch(&self, fileno: i32, callback: Py<PyAny>) -> PyResult<u64> {
        let refused = |errno: rustix::io::Errno| {
            PyOSError::new_err((errno.raw_os_error(), format!("could not watch descriptor {fileno}: {errno}")))
        };
        // A descriptor of our own, without having to believe that the number is an open one.
        let here = pidfd_open(getpid(), PidfdFlags::empty()).map_err(refused)?;
        let descriptor = pidfd_getfd(&here, fileno, PidfdGetfdFlags::empty()).map_err(refused)?;
        // What the loop would refuse later is refused now, where the traceback tells of it.
        let probe = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(refused)?;
        epoll::add(&probe, &descriptor, epoll::EventData::new_u64(0), epoll::EventFlags::IN).map_err(refused)?;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        self.wish(Wish::Watch { number, descriptor, callback });
        Ok(number)
    }

    /// Ends a watch.
    fn unwatch(&self, number: u64) {
        self.wish(Wish::Unwatch(number));
    }

    /// From now on Python's own loop gets turns.
    fn invite(&self) {
        if !self.has_guest.swap(true, Ordering::Relaxed) {
            self.wish(Wish::Timer);
        }
    }
}
