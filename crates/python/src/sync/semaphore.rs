//! `Semaphore` and `BoundedSemaphore`.

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyBool, PyTuple, PyType},
};
use shm::lock::{Permit, ReleaseError, Semaphore as Shared, WaitError};

use super::room;
use crate::{
    codec::passing,
    error,
    later::{self, Ended},
    wait::{self, Limit},
};

/// A semaphore, and what becomes of a permit whose holder dies.
struct Permits {
    shared: Shared,
    robust: bool,
}

impl Permits {
    fn create(value: i64, robust: bool, bounded: bool) -> PyResult<Self> {
        let permits = u32::try_from(value).ok().filter(|permits| *permits <= 1 << 20).ok_or_else(|| {
            PyValueError::new_err(format!(
                "could not make a semaphore with the value {value}: 0 to 1048576 are possible"
            ))
        })?;
        let create = |arena: &_| match bounded {
            true => Shared::create_bounded(arena, permits),
            false => Shared::create(arena, permits),
        };
        Ok(Self { shared: room::make(permits.max(1024) as usize * 4 + 512, create)?, robust })
    }

    /// `keep`: if this process dies, the permit comes back.
    fn acquire(&self, py: Python<'_>, limit: Limit, keep: bool) -> PyResult<bool> {
        let has = |permit: Permit<'_>| if keep { permit.keep() } else { permit.spend() };
        if let Some(permit) = self.shared.try_acquire().map_err(error::forked)? {
            has(permit);
            return Ok(true);
        }
        let attempt = |limit| {
            let acquired = match limit {
                None => self.shared.acquire(),
                Some(limit) => self.shared.acquire_for(limit),
            };
            match acquired {
                Ok(permit) => {
                    has(permit);
                    Some(Ok(()))
                }
                Err(WaitError::TimedOut) => None,
                Err(error) => Some(Err(error)),
            }
        };
        match wait::wait(py, limit, attempt)? {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(wait_error(error)),
        }
    }

    fn acquire_async<'py>(&self, py: Python<'py>, keep: bool) -> PyResult<Bound<'py, PyAny>> {
        let shared = self.shared.clone();
        later::run(py, async move {
            // From here to its task nothing can be cancelled: it is one step.
            let acquired = shared.acquire_async().await.map(|permit| if keep { permit.keep() } else { permit.spend() });
            Box::new(|py: Python<'_>| {
                acquired.map(|()| PyBool::new(py, true).to_owned().into_any().unbind()).map_err(wait_error)
            }) as Ended
        })
    }

    fn release(&self) -> PyResult<()> {
        self.shared.release().map_err(|error| match error {
            ReleaseError::Forked(forked) => error::forked(forked),
            error => PyValueError::new_err(format!("could not {error}")),
        })
    }

    fn reduce<'py>(&self, class: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, (usize, bool))> {
        let number = passing::leave("Semaphore", &self.shared)?;
        Ok((class.get_type().getattr("_received")?, (number, self.robust)))
    }
}

/// An error of a wait as an exception.
pub(super) fn wait_error(error: WaitError) -> PyErr {
    match error {
        WaitError::Forked(forked) => error::forked(forked),
        WaitError::System(source) => error::system("wait", &source),
        error @ WaitError::TimedOut => error::Class::TimeoutError.could_not(error),
    }
}

macro_rules! semaphore_class {
    ($class:ident, $bounded:literal, $doc:literal) => {
        #[doc = $doc]
        ///
        /// The permits of a process that dies come back, unless `robust=False`: that is for counting what one process makes and
        /// another takes. Those of a `with` block come back in any case.
        #[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
        pub(crate) struct $class(Permits);

        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (value = 1, *, robust = true))]
            fn new(value: i64, robust: bool) -> PyResult<Self> {
                Permits::create(value, robust, $bounded).map(Self)
            }

            /// Take a permit, and wait for one if `block`, for at most `timeout` seconds. True if it is had.
            #[pyo3(signature = (block = true, timeout = None))]
            fn acquire(&self, py: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<bool> {
                self.0.acquire(py, Limit::blocking(block, timeout)?, self.0.robust)
            }

            /// Take a permit, in a task. Cancelling it is safe at any time: no permit is taken then.
            fn acquire_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.acquire_async(py, self.0.robust)
            }

            /// Give a permit back, or one more. From any process.
            fn release(&self) -> PyResult<()> {
                self.0.release()
            }

            /// How many permits there are to be had at this moment, with those of the dead.
            fn get_value(&self) -> u32 {
                self.0.shared.available()
            }

            fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
                // A block ends in the process in which it began, or that process dies in it.
                self.0.acquire(py, Limit::Never, true)
            }

            #[pyo3(signature = (*_exception))]
            fn __exit__(&self, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
                self.0.release()
            }

            fn __aenter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.0.acquire_async(py, true)
            }

            #[pyo3(signature = (*exception))]
            fn __aexit__<'py>(&self, exception: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
                self.0.release()?;
                later::nothing(exception.py())
            }

            fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize, bool))> {
                passing::refuse_subclass::<Self>(slf.as_any())?;
                slf.get().0.reduce(slf.as_any())
            }

            #[classmethod]
            fn _received(_class: &Bound<'_, PyType>, number: usize, robust: bool) -> PyResult<Self> {
                Ok(Self(Permits { shared: passing::arrive("Semaphore", number)?, robust }))
            }

            fn __repr__(&self) -> String {
                format!(concat!("<framewire.", stringify!($class), " value={}>"), self.get_value())
            }
        }
    };
}

semaphore_class!(
    Semaphore,
    false,
    "Up to `value` at a time, between processes; `release` may add to them, up to 1024."
);
semaphore_class!(
    BoundedSemaphore,
    true,
    "Up to `value` at a time, between processes; to release one too many is a `ValueError`."
);
