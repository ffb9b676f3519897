//! Futures of the crates below, for an event loop of Python's: polled by it, and woken by a doorbell that it watches.
//!
//! One doorbell does for a loop. Who is woken is on its list. No thread of Python is needed, and dropping an operation cancels it.

use std::{
    future::Future,
    os::fd::{AsFd, AsRawFd, RawFd},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use pyo3::{prelude::*, sync::PyOnceLock};
use shm::doorbell::Doorbell;

use crate::error;

/// What a future ends with: how to make a Python object of it, or raise.
pub(crate) type Ended = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// A wait under way. Dropped before it is done, it has taken nothing.
#[pyclass(frozen, module = "framewire._core")]
pub(crate) struct Operation(Mutex<Option<Pin<Box<dyn Future<Output = Ended> + Send>>>>);

/// The future as a coroutine of Python's (`framewire/aio.py`).
pub(crate) fn run(py: Python<'_>, future: impl Future<Output = Ended> + Send + 'static) -> PyResult<Bound<'_, PyAny>> {
    static RUN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    RUN.import(py, "framewire.aio", "run")?.call1((Operation(Mutex::new(Some(Box::pin(future)))),))
}

/// A coroutine that is over at once.
pub(crate) fn nothing(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    run(py, async { Box::new(|py: Python<'_>| Ok(py.None())) as Ended })
}

#[pymethods]
impl Operation {
    /// Go on with it. `(result,)` when it is done; `None` if `key` will be among what `bell` names.
    fn poll(&self, py: Python<'_>, bell: &Bell, key: u64) -> PyResult<Option<(Py<PyAny>,)>> {
        let mut operation = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(future) = operation.as_mut() else {
            return Err(error::Class::Error.says("could not go on with an operation that is over".to_owned()));
        };
        match future.as_mut().poll(&mut Context::from_waker(&bell.waker(key))) {
            Poll::Pending => Ok(None),
            Poll::Ready(ended) => {
                *operation = None;
                drop(operation);
                ended(py).map(|result| Some((result,)))
            }
        }
    }

    /// Give it up.
    fn cancel(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// A reader's next frame as a coroutine.
pub(crate) fn next_frame<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static NEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    NEXT.import(reader.py(), "framewire.aio", "next_frame")?.call1((reader,))
}

/// The same, which ends with `StopAsyncIteration`.
pub(crate) fn iterate_frames<'py>(reader: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    static ITERATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    ITERATE.import(reader.py(), "framewire.aio", "iterate_frames")?.call1((reader,))
}

/// What a loop watches for all its operations.
#[pyclass(frozen, module = "framewire._core")]
pub(crate) struct Bell(Arc<Rung>);

struct Rung {
    bell: Doorbell,
    keys: Mutex<Vec<u64>>,
}

impl Bell {
    /// What puts `key` among what it names.
    pub(crate) fn waker(&self, key: u64) -> Waker {
        Waker::from(Arc::new(Waking { bell: self.0.clone(), key, woken: AtomicBool::new(false) }))
    }
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let bell = Doorbell::new().map_err(|error| error::system("make a doorbell", &error))?;
        Ok(Self(Arc::new(Rung { bell, keys: Mutex::default() })))
    }

    /// Readable when operations are to be polled again.
    fn fileno(&self) -> RawFd {
        self.0.bell.as_fd().as_raw_fd()
    }

    /// Which ones.
    fn take(&self) -> Vec<u64> {
        self.0.bell.quiet();
        std::mem::take(&mut *self.0.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Waking {
    bell: Arc<Rung>,
    key: u64,
    woken: AtomicBool,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Once is enough: whoever is woken looks, and comes with a new one.
        if !self.woken.swap(true, Ordering::Relaxed) {
            self.bell.keys.lock().unwrap_or_else(PoisonError::into_inner).push(self.key);
            self.bell.bell.ring();
        }
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Operation>()?;
    module.add_class::<crate::codec::lent::Lent>()?;
    module.add_class::<Bell>()
}
