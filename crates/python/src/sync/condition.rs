//! `Condition`.

use std::sync::Mutex;

use pyo3::{
    exceptions::{PyAssertionError, PyTypeError},
    prelude::*,
    types::{PyTuple, PyType},
};
use shm::lock::{KeptCondition, KeptLock, LockError};

use super::{
    lock::{Held, Lock, RLock, duration, lock_error},
    room,
};
use crate::{
    codec::passing,
    error,
    wait::{self, Limit},
};

/// Waiting, with a lock (an RLock, if none is given), for others to change what it protects.
///
/// Whoever dies waiting is in nobody's way. If somebody dies holding the lock, one who waits gets it, and is told as with `acquire`.
#[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
pub(crate) struct Condition {
    lock: Py<PyAny>,
    condition: KeptCondition,
}

#[pymethods]
impl Condition {
    #[new]
    #[pyo3(signature = (lock = None))]
    fn new(py: Python<'_>, lock: Option<Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(lock) = lock else {
            let condition = room::make(8192, |arena| KeptCondition::create(&KeptLock::create_recursive(arena)?))?;
            let lock = Py::new(py, RLock::of(condition.lock().clone()))?.into_any();
            return Ok(Self { lock, condition });
        };
        let kept = held(&lock)?.lock.clone();
        // In the lock's own arena, which may be full by now.
        let condition = KeptCondition::create(&kept).map_err(|error| room::arena_error(&error))?;
        Ok(Self { lock: lock.unbind(), condition })
    }

    /// As the lock's.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire<'py>(&self, py: Python<'py>, block: bool, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        self.lock.bind(py).call_method1("acquire", (block, timeout))
    }

    /// As the lock's.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        self.lock.bind(py).call_method0("release").map(drop)
    }

    /// Let go of the lock, wait to be notified for at most `timeout` seconds, and take the lock again. True if notified.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let limit = Limit::seconds(timeout)?;
        let mut listen = wait::listener(py)?;
        let raised = Mutex::new(None);
        let go_on = || match listen() {
            Ok(()) => true,
            Err(error) => {
                *raised.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
                false
            }
        };
        let waited = py.detach(|| self.condition.wait(duration(limit), go_on));
        if let Some(error) = raised.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            return Err(error);
        }
        let held = held(self.lock.bind(py))?;
        match waited {
            Ok(notified) => Ok(notified),
            Err(LockError::OwnerDied(notified)) => held.had(true).map(|_| notified),
            Err(LockError::Busy) => {
                Err(PyAssertionError::new_err("could not wait on a condition: acquire() it first, in this thread"))
            }
            Err(LockError::Forked(forked)) => Err(error::forked(forked)),
            Err(error) => Err(lock_error(&error.without_guard())),
        }
    }

    /// Wait until `predicate()` is true, for at most `timeout` seconds. What it said last is the result.
    #[pyo3(signature = (predicate, timeout = None))]
    fn wait_for<'py>(&self, predicate: &Bound<'py, PyAny>, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let limit = Limit::seconds(timeout)?;
        loop {
            let result = predicate.call0()?;
            let left = limit.left();
            if result.is_truthy()? || left.is_some_and(|left| left.is_zero()) {
                return Ok(result);
            }
            self.wait(predicate.py(), left.map(|left| left.as_secs_f64()))?;
        }
    }

    /// Notify up to `n` of those who wait, longest first.
    #[pyo3(signature = (n = 1))]
    fn notify(&self, n: usize) -> PyResult<()> {
        self.condition.notify(n).map(drop).map_err(|error| match error {
            shm::lock::ReleaseError::Forked(forked) => error::forked(forked),
            _ => PyAssertionError::new_err("could not notify: acquire() the condition first, in this thread"),
        })
    }

    /// Notify all who wait.
    fn notify_all(&self) -> PyResult<()> {
        self.notify(usize::MAX)
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.lock.bind(py).call_method0("__enter__")
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.lock.bind(exception.py()).call_method1("__exit__", exception).map(drop)
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Received)> {
        passing::refuse_subclass::<Self>(slf.as_any())?;
        let number = passing::leave("Condition", &slf.get().condition)?;
        Ok((slf.get_type().getattr("_received")?, (number, slf.get().lock.clone_ref(slf.py()))))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize, lock: Py<PyAny>) -> PyResult<Self> {
        Ok(Self { lock, condition: passing::arrive("Condition", number)? })
    }
}

/// What `_received` takes.
type Received = (usize, Py<PyAny>);

fn held<'a>(lock: &'a Bound<'_, PyAny>) -> PyResult<&'a Held> {
    if let Ok(lock) = lock.cast::<RLock>() {
        Ok(&lock.get().0)
    } else if let Ok(lock) = lock.cast::<Lock>() {
        Ok(&lock.get().0)
    } else {
        let class = lock.get_type().fully_qualified_name()?;
        Err(PyTypeError::new_err(format!("could not make a Condition for a {class}: give a framewire Lock or RLock")))
    }
}
