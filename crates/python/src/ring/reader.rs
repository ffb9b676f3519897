//! A reader of a ring.

use std::{
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    time::Duration,
};

use pyo3::{
    exceptions::PyStopIteration,
    prelude::*,
    types::{PyDict, PyTuple, PyType},
};
use rustix::event::epoll;
use shm::{
    doorbell::Doorbell,
    ring::{Address, Allow, Counts, MeetError, ReadError, Reader as Joined, Ring, Wish},
    wire::{Passed, Socket},
};

use super::{error as errors, frame::Frame, leases::Leases, policy::Arguments};
use crate::{
    codec::passing,
    error::{self, Class},
    later,
    wait::{self, Limit},
};

/// One end of a ring's session: it takes frames, by its own policy.
///
/// It joins at its first use. Until then it can go to another process, in any message; whoever has it there joins.
#[pyclass(frozen, weakref, module = "framewire")]
pub(crate) struct Reader {
    state: Mutex<State>,
    leases: Leases,
    wish: Wish,
}

enum State {
    /// It may still go elsewhere.
    Apart(Passed),
    Joined(Box<Joined>, Option<OwnedFd>),
    Closed,
}

impl Reader {
    pub(super) fn apart(session: Passed, wish: Wish) -> Self {
        Self { state: Mutex::new(State::Apart(session)), leases: Leases::default(), wish }
    }

    /// Runs `with` this reader, which joins now at the latest. One thread at a time.
    fn with<R>(&self, with: impl FnOnce(&mut Joined) -> PyResult<R>) -> PyResult<R> {
        let mut state = self.lock()?;
        if let State::Apart(session) = &*state {
            let session = session.clone().into_owned().map_err(|error| error::system("join a ring", &error))?;
            let bell = Doorbell::new().map_err(|error| error::system("make a doorbell", &error))?;
            let joined = Joined::connect(Socket::from_owned(session), &bell, self.wish).map_err(errors::read)?;
            *state = State::Joined(Box::new(joined), None);
        }
        match &mut *state {
            State::Joined(joined, _) => with(joined),
            _ => Err(Class::ClosedError.says("could not read the ring: this reader was closed".to_owned())),
        }
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, State>> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(state)) => Ok(state.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Class::Error
                .says("could not use a reader from two threads at once: give each a reader of its own".to_owned())),
        }
    }

    fn read(&self, error: ReadError) -> PyErr {
        match error {
            ReadError::AllLeasesHeld { leases } => self.leases.error(leases),
            error => errors::read(error),
        }
    }

    fn take(&self, py: Python<'_>, limit: Limit) -> PyResult<Option<Frame>> {
        let frame = self.with(|reader| {
            let attempt = |limit: Option<Duration>| reader.next_for(limit.unwrap_or(Duration::MAX)).transpose();
            wait::wait(py, limit, attempt)
        })?;
        frame.transpose().map_err(|error| self.read(error)).map(|frame| frame.map(|frame| self.frame(py, frame)))
    }

    fn frame(&self, py: Python<'_>, frame: shm::ring::Frame) -> Frame {
        let noted = self.leases.note(py, frame.sequence());
        Frame::of(frame, noted)
    }
}

#[pymethods]
impl Reader {
    /// Join the ring that is served at `address` ("@name" or a path), waiting for its writer for at most `timeout` seconds.
    ///
    /// What it takes says `policy`: "latest"; "drop-oldest" (up to `depth` behind); "every" (`n`th); "max-rate" (`hz`); "block" (all: the
    /// writer waits up to `block_timeout` seconds, then drops, or with `detach` lets this reader go). It may hold `leases` frames.
    #[classmethod]
    #[pyo3(signature = (address, policy = "latest", *, leases = 2, depth = None, n = None, hz = None, block_timeout = None, detach = false, timeout = 5.0))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn connect(
        _class: &Bound<'_, PyType>,
        py: Python<'_>,
        address: &str,
        policy: &str,
        leases: u32,
        depth: Option<u32>,
        n: Option<u32>,
        hz: Option<f64>,
        block_timeout: Option<f64>,
        detach: bool,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let wish = Arguments { policy, depth, n, hz, timeout: block_timeout, detach, leases }.wish()?;
        let Ok(address) = address.parse::<Address>();
        let early = Mutex::new(None);
        let attempt = |limit: Option<Duration>| match Ring::connect(
            &address,
            Allow::SameUser,
            wish,
            limit.unwrap_or(Duration::MAX),
        ) {
            Err(error @ MeetError::Connect { .. }) => {
                *early.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
            met => Some(met),
        };
        let met = wait::wait(py, Limit::seconds(timeout)?, attempt)?;
        let met = met.or_else(|| early.into_inner().unwrap_or_else(PoisonError::into_inner).map(Err));
        match met {
            Some(Ok(joined)) => {
                let state = Mutex::new(State::Joined(Box::new(joined), None));
                Ok(Self { state, leases: Leases::default(), wish })
            }
            Some(Err(error)) => Err(errors::meet(error)),
            None => {
                Err(Class::TimeoutError.says(format!("could not connect to a ring at {address}: no time was given")))
            }
        }
    }

    /// The next frame; None if `timeout` seconds pass without one.
    ///
    /// `ClosedError` when the writer is gone and all that it left is read; `LeasesError` if all leases are held.
    #[pyo3(signature = (timeout = None))]
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Frame>> {
        self.take(py, Limit::seconds(timeout)?)
    }

    /// The next frame if there is one, else None. Never waits.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        let frame = self.with(|reader| Ok(reader.try_next()))?;
        Ok(frame.map_err(|error| self.read(error))?.map(|frame| self.frame(py, frame)))
    }

    /// The next frame, or None; then `fileno()` will be readable when there may be one. For event loops.
    fn poll(&self, py: Python<'_>) -> PyResult<Option<Frame>> {
        /// A writer that keeps ringing mustn't keep us: then the bell is still readable.
        const ROUNDS: u32 = 64;
        let frame = self.with(|reader| {
            for _ in 0..ROUNDS {
                // First quiet, then armed, then the look: what rings after that is news.
                reader.bell().quiet();
                let armed = reader.arm();
                let taken = reader.service().and_then(|()| reader.try_next());
                if armed || !matches!(taken, Ok(None)) {
                    return Ok(taken);
                }
            }
            reader.bell().ring();
            Ok(Ok(None))
        })?;
        Ok(frame.map_err(|error| self.read(error))?.map(|frame| self.frame(py, frame)))
    }

    /// The next frame, in a task. Cancelling it is safe at any time: it has taken nothing then. One task at a time.
    fn next_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        later::next_frame(slf.as_any())
    }

    /// A descriptor to watch after `poll` gave None.
    fn fileno(&self) -> PyResult<i32> {
        self.with(|_| Ok(()))?;
        let mut state = self.lock()?;
        let State::Joined(reader, watched) = &mut *state else { return Ok(-1) };
        if watched.is_none() {
            let failed = |errno: rustix::io::Errno| error::system("watch a ring", &errno.into());
            let both = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
            let no_data = epoll::EventData::new_u64(0);
            epoll::add(&both, reader.bell(), no_data, epoll::EventFlags::IN).map_err(failed)?;
            epoll::add(&both, &**reader, no_data, epoll::EventFlags::IN).map_err(failed)?;
            *watched = Some(both);
        }
        Ok(watched.as_ref().map_or(-1, |both| both.as_fd().as_raw_fd()))
    }

    /// What became of the frames: a dict of published, read, dropped, skipped and waiting. It adds up at every instant.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let Counts { published, read, dropped, skipped, waiting } = self.with(|reader| Ok(reader.counts()))?;
        let counts = PyDict::new(py);
        let all = [
            ("published", published),
            ("read", read),
            ("dropped", dropped),
            ("skipped", skipped),
            ("waiting", waiting),
        ];
        all.into_iter().try_for_each(|(name, count)| counts.set_item(name, count))?;
        Ok(counts)
    }

    /// How many frames it may hold.
    #[getter]
    fn leases(&self) -> u32 {
        self.wish.leases
    }

    /// Leave the ring. Frames that are held stay.
    fn close(&self) -> PyResult<()> {
        *self.lock()? = State::Closed;
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close()
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Frame> {
        match self.take(py, Limit::Never) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(PyStopIteration::new_err(())),
            Err(error) if Class::ClosedError.is(py, &error) => Err(PyStopIteration::new_err(())),
            Err(error) => Err(error),
        }
    }

    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        later::iterate_frames(slf.as_any())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize,))> {
        let reader = slf.get();
        let number = match &*reader.lock()? {
            State::Apart(session) => passing::leave("ring's reader", &(session, reader.wish))?,
            _ => {
                return Err(Class::PassingError.says(
                    "could not pickle a reader that is in use: pass one on before its first frame is asked for, or make the \
                     other process one of its own (`writer.reader()`)"
                        .to_owned(),
                ));
            }
        };
        Ok((slf.get_type().getattr("_received")?, (number,)))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize) -> PyResult<Self> {
        let (session, wish) = passing::arrive("ring's reader", number)?;
        Ok(Self::apart(session, wish))
    }
}
