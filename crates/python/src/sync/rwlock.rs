//! `RWLock`.

use pyo3::{exceptions::PyValueError, prelude::*, types::PyType};
use shm::lock::{LockError, ReleaseError, RwLock as Shared};

use super::{lock::lock_error, room};
use crate::{
    codec::passing,
    error,
    wait::{self, Limit},
};

/// What many may read at once, and one may change at a time. A writer that waits is preferred to readers that come.
///
/// A dead reader is simply gone. After a dead writer, `acquire_read` and `acquire_write` say "recovered" until a writer has
/// called `mark_consistent`.
#[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
pub(crate) struct RWLock(Shared<()>);

#[pymethods]
impl RWLock {
    #[new]
    fn new() -> PyResult<Self> {
        room::make(16 * 1024, |arena| Shared::create(arena, ())).map(Self)
    }

    /// Wait until nobody writes, for at most `timeout` seconds. "clean" or "recovered" when it is had, else None.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire_read(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Option<&'static str>> {
        let taken = wait::wait(py, Limit::blocking(block, timeout)?, |limit| {
            let taken = match limit {
                None => self.0.read(),
                Some(limit) => self.0.read_for(limit),
            };
            had(taken, shm::lock::ReadGuard::keep)
        })?;
        taken.transpose().map_err(|error| lock_error(&error))
    }

    /// Wait until nobody reads or writes, for at most `timeout` seconds. "clean" or "recovered" when it is had, else None.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire_write(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Option<&'static str>> {
        let taken = wait::wait(py, Limit::blocking(block, timeout)?, |limit| {
            let taken = match limit {
                None => self.0.write(),
                Some(limit) => self.0.write_for(limit),
            };
            had(taken, shm::lock::WriteGuard::keep)
        })?;
        taken.transpose().map_err(|error| lock_error(&error))
    }

    /// End reading (once). For any thread of this process.
    fn release_read(&self) -> PyResult<()> {
        self.0.release_read().map_err(released)
    }

    /// End writing. For any thread of this process.
    fn release_write(&self) -> PyResult<()> {
        self.0.release_write().map_err(released)
    }

    /// Say that what it protects is in order again. Hold it for writing.
    fn mark_consistent(&self) -> PyResult<()> {
        self.0.mark_consistent().map_err(released)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize,))> {
        passing::refuse_subclass::<Self>(slf.as_any())?;
        let number = passing::leave("RWLock", &slf.get().0)?;
        Ok((slf.get_type().getattr("_received")?, (number,)))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize) -> PyResult<Self> {
        passing::arrive("RWLock", number).map(Self)
    }
}

fn had<G>(taken: Result<G, LockError<G>>, keep: impl FnOnce(G)) -> Option<Result<&'static str, LockError<()>>> {
    match taken {
        Ok(guard) => {
            keep(guard);
            Some(Ok("clean"))
        }
        Err(LockError::OwnerDied(guard)) => {
            keep(guard);
            Some(Ok("recovered"))
        }
        Err(LockError::TimedOut | LockError::Busy) => None,
        Err(error) => Some(Err(error.without_guard())),
    }
}

fn released(error: ReleaseError) -> PyErr {
    match error {
        ReleaseError::Forked(forked) => error::forked(forked),
        error => PyValueError::new_err(format!("could not {error}")),
    }
}
