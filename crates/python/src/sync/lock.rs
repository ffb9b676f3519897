//! `Lock` and `RLock`.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use pyo3::{
    exceptions::{PyAssertionError, PyValueError},
    prelude::*,
    types::{PyBool, PyTuple, PyType},
};
use shm::lock::{KeptLock, LockError, ReleaseError};

use super::room;
use crate::{
    codec::passing,
    error::{self, Class},
    later::{self, Ended},
    wait::{self, Limit},
};

/// What both have: the lock itself, and what this handle knows of it.
pub(super) struct Held {
    pub lock: KeptLock,
    raises: bool,
    recovered: AtomicBool,
}

impl Held {
    fn create(
        robust: &str,
        create: fn(&shm::arena::Arena) -> Result<KeptLock, shm::arena::ArenaError>,
    ) -> PyResult<Self> {
        Ok(Self::new(room::make(256, create)?, raises(robust)?))
    }

    fn new(lock: KeptLock, raises: bool) -> Self {
        Self { lock, raises, recovered: AtomicBool::new(false) }
    }

    fn acquire(&self, py: Python<'_>, limit: Limit) -> PyResult<bool> {
        // Without giving up the GIL first: usually it is free.
        let taken = match self.lock.try_take() {
            Err(LockError::Busy) => wait::wait(py, limit, |limit| match self.lock.take(limit) {
                Err(LockError::TimedOut) => None,
                taken => Some(taken),
            })?,
            taken => Some(taken),
        };
        match taken {
            None => Ok(false),
            Some(Ok(())) => self.had(false),
            Some(Err(LockError::OwnerDied(()))) => self.had(true),
            Some(Err(error)) => Err(lock_error(&error)),
        }
    }

    /// It is had again, after a death or not.
    pub(super) fn had(&self, recovered: bool) -> PyResult<bool> {
        self.recovered.store(recovered, Ordering::Relaxed);
        if recovered && self.raises {
            return Err(Class::OwnerDiedError.says(
                "could not have the lock in good order: its last owner died holding it. It is yours now: put what it protects \
                 in order, call mark_consistent(), and release it"
                    .to_owned(),
            ));
        }
        Ok(true)
    }

    fn enter(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, Limit::Never).inspect_err(|_| self.not_entered())
    }

    /// A `with` whose beginning raises has no end, so it must not hold the lock.
    fn not_entered(&self) {
        if self.lock.is_mine() {
            let _ = self.lock.release();
        }
    }

    fn mark_consistent(&self) -> PyResult<()> {
        self.lock.mark_consistent().map_err(|error| match error {
            ReleaseError::Forked(forked) => error::forked(forked),
            _ => PyAssertionError::new_err("could not mark a lock consistent: it isn't held here; acquire it first"),
        })?;
        self.recovered.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn reduce<'py>(&self, class: &Bound<'py, PyAny>, what: &str) -> PyResult<(Bound<'py, PyAny>, (usize, bool))> {
        let number = passing::leave(what, &self.lock)?;
        Ok((class.get_type().getattr("_received")?, (number, self.raises)))
    }
}

fn raises(robust: &str) -> PyResult<bool> {
    match robust {
        "recover" => Ok(false),
        "raise" => Ok(true),
        other => {
            Err(PyValueError::new_err(format!("could not make a lock with robust={other:?}: \"recover\" or \"raise\"")))
        }
    }
}

/// An error of a lock as an exception.
pub(super) fn lock_error(error: &LockError<()>) -> PyErr {
    match error {
        LockError::Forked(forked) => error::forked(*forked),
        LockError::System(source) => error::system("wait for a lock", source),
        error => Class::Error.could_not(error),
    }
}

macro_rules! lock_class {
    ($class:ident, $name:literal, $create:path, $not_held:path, $doc:literal, $extra:literal, { $($more:item)* }) => {
        #[doc = $doc]
        #[doc = ""]
        #[doc = $extra]
        #[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
        pub(crate) struct $class(pub(super) Held);

        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (*, robust = "recover"))]
            fn new(robust: &str) -> PyResult<Self> {
                Held::create(robust, $create).map(Self)
            }

            /// Take it, and wait for that if `block`, for at most `timeout` seconds. True if it is had.
            #[pyo3(signature = (block = true, timeout = None))]
            fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
                self.0.acquire(py, Limit::blocking(block, timeout)?)
            }

            /// Let go of it.
            fn release(&self) -> PyResult<()> {
                self.0.lock.release().map_err(|error| match error {
                    ReleaseError::Forked(forked) => error::forked(forked),
                    error => $not_held(format!("could not {error}")),
                })
            }

            /// Whether somebody living has it at this moment.
            fn locked(&self) -> bool {
                self.0.lock.is_locked()
            }

            /// Say that what it protects is in order again: the next one isn't told of the death any more.
            fn mark_consistent(&self) -> PyResult<()> {
                self.0.mark_consistent()
            }

            /// Whether this handle last took it from one who died holding it.
            #[getter]
            fn recovered(&self) -> bool {
                self.0.recovered.load(Ordering::Relaxed)
            }

            fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
                self.0.enter(py)
            }

            #[pyo3(signature = (*_exception))]
            fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
                self.release()
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize, bool))> {
                passing::refuse_subclass::<Self>(slf.as_any())?;
                slf.get().0.reduce(slf.as_any(), $name)
            }

            #[classmethod]
            fn _received(_class: &Bound<'_, PyType>, number: usize, raises: bool) -> PyResult<Self> {
                Ok(Self(Held::new(passing::arrive($name, number)?, raises)))
            }

            fn __repr__(&self) -> String {
                let state = if self.0.lock.is_mine() {
                    "held here"
                } else if self.0.lock.is_locked() {
                    "held elsewhere"
                } else {
                    "free"
                };
                format!(concat!("<framewire.", $name, " {}>"), state)
            }

            $($more)*
        }
    };
}

lock_class!(
    Lock,
    "Lock",
    KeptLock::create,
    PyValueError::new_err,
    "A lock between processes. Any process may release it. If its owner dies, the next one gets it, and is told.",
    "`robust=\"recover\"`: `recovered` is True then; `robust=\"raise\"`: `acquire` raises `OwnerDiedError`, with the lock held.",
    {
        /// Take it, in a task. Cancelling it is safe at any time: the lock isn't had then.
        fn acquire_async<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
            Self::take_async(slf, |lock, recovered| lock.0.had(recovered))
        }

        fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
            Self::take_async(slf, |lock, recovered| lock.0.had(recovered).inspect_err(|_| lock.0.not_entered()))
        }

        #[pyo3(signature = (*exception))]
        fn __aexit__<'py>(&self, exception: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
            self.release()?;
            later::nothing(exception.py())
        }
    }
);
lock_class!(
    RLock,
    "RLock",
    KeptLock::create_recursive,
    PyAssertionError::new_err,
    "A lock between processes that the thread which has it can take again.",
    "What becomes of it when its owner dies is as for `Lock`. All tasks of an event loop are one thread: it can't tell them apart, \
     and has no `acquire_async`.",
    {}
);

impl Lock {
    /// It as a coroutine; `had` says whether it was taken from the dead, and what comes of that.
    fn take_async<'py>(slf: &Bound<'py, Self>, had: fn(&Self, bool) -> PyResult<bool>) -> PyResult<Bound<'py, PyAny>> {
        let (this, lock) = (slf.clone().unbind(), slf.get().0.lock.clone());
        later::run(slf.py(), async move {
            let taken = match &lock {
                KeptLock::Lock(lock) => match lock.lock_async().await {
                    Ok(guard) => {
                        guard.keep();
                        Ok(false)
                    }
                    Err(LockError::OwnerDied(guard)) => {
                        guard.keep();
                        Ok(true)
                    }
                    Err(error) => Err(error.without_guard()),
                },
                // Never made of one.
                KeptLock::RLock(_) => Err(LockError::Busy),
            };
            // From here to its task nothing can be cancelled: it is one step.
            Box::new(move |py: Python<'_>| {
                let recovered = taken.map_err(|error| lock_error(&error))?;
                had(this.get(), recovered).map(|had| PyBool::new(py, had).to_owned().into_any().unbind())
            }) as Ended
        })
    }
}

impl RLock {
    pub(super) fn of(lock: KeptLock) -> Self {
        Self(Held::new(lock, false))
    }
}

/// A limit for the waits that can't be made in slices.
pub(super) fn duration(limit: Limit) -> Option<Duration> {
    limit.left()
}
