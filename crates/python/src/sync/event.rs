//! `Event`.

use std::{
    os::fd::{AsFd, AsRawFd, RawFd},
    sync::{Mutex, PoisonError},
};

use pyo3::{
    prelude::*,
    types::{PyBool, PyType},
};
use shm::{
    doorbell::Doorbell,
    lock::{Event as Shared, WaitError},
    queue::Ringing,
};

use super::{room, semaphore::wait_error};
use crate::{
    codec::passing,
    error,
    later::{self, Ended},
    wait::{self, Limit},
};

/// A flag that any process can set, and that any can wait for. Whoever dies, nobody waits for them.
#[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
pub(crate) struct Event {
    shared: Shared,
    bell: Mutex<Option<(Doorbell, Ringing)>>,
}

impl Event {
    fn of(shared: Shared) -> Self {
        Self { shared, bell: Mutex::default() }
    }

    /// The bell tells what is so now, and what comes.
    fn arm(&self) -> PyResult<()> {
        let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bell, ringing)) = &mut *bell {
            bell.quiet();
            *ringing = self.shared.ring_when_set(bell).map_err(|error| error::system("watch an event", &error))?;
        }
        Ok(())
    }
}

#[pymethods]
impl Event {
    #[new]
    fn new() -> PyResult<Self> {
        room::make(256, Shared::create).map(Self::of)
    }

    /// Whether it is set.
    fn is_set(&self) -> PyResult<bool> {
        let is_set = self.shared.is_set();
        if !is_set {
            self.arm()?;
        }
        Ok(is_set)
    }

    /// Set it, and wake all who wait.
    fn set(&self) -> PyResult<()> {
        self.shared.set().map_err(error::forked)
    }

    /// Take it back.
    fn clear(&self) -> PyResult<()> {
        self.shared.clear().map_err(error::forked)?;
        self.arm()
    }

    /// Wait until it is set, for at most `timeout` seconds. True if it was.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let attempt = |limit| {
            let waited = match limit {
                None => self.shared.wait(),
                Some(limit) => self.shared.wait_for(limit),
            };
            match waited {
                Err(WaitError::TimedOut) => None,
                waited => Some(waited),
            }
        };
        match wait::wait(py, Limit::seconds(timeout)?, attempt)? {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(wait_error(error)),
        }
    }

    /// Wait until it is set, in a task. Cancelling it is safe at any time.
    fn wait_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let shared = self.shared.clone();
        later::run(py, async move {
            let waited = shared.wait_async().await;
            Box::new(|py: Python<'_>| {
                waited.map_err(wait_error).map(|()| PyBool::new(py, true).to_owned().into_any().unbind())
            }) as Ended
        })
    }

    /// A descriptor that is readable while it is set, for `select` and event loops. Once readable it stays so until this handle's
    /// `is_set` or `clear` is called when it isn't set any more.
    fn fileno(&self) -> PyResult<RawFd> {
        {
            let mut bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
            if bell.is_none() {
                let made = Doorbell::new().map_err(|error| error::system("make a doorbell", &error))?;
                let ringing =
                    self.shared.ring_when_set(&made).map_err(|error| error::system("watch an event", &error))?;
                *bell = Some((made, ringing));
            }
        }
        let bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(bell.as_ref().map_or(-1, |(bell, _)| bell.as_fd().as_raw_fd()))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize,))> {
        passing::refuse_subclass::<Self>(slf.as_any())?;
        let number = passing::leave("Event", &slf.get().shared)?;
        Ok((slf.get_type().getattr("_received")?, (number,)))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize) -> PyResult<Self> {
        passing::arrive("Event", number).map(Self::of)
    }

    fn __repr__(&self) -> String {
        format!("<framewire.Event {}>", if self.shared.is_set() { "set" } else { "unset" })
    }
}
