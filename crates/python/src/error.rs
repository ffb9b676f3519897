//! The exceptions. They are written in Python (`framewire/errors.py`), where one can have several bases; here is how they are
//! raised.

use std::fmt::Display;

use pyo3::{prelude::*, sync::PyOnceLock, types::PyType};

macro_rules! classes {
    ($($class:ident),+ $(,)?) => {
        /// A class of `framewire.errors`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Class {
            $(#[doc = concat!("`framewire.errors.", stringify!($class), "`")] $class),+
        }

        impl Class {
            fn get(self, py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
                match self {
                    $(Self::$class => {
                        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
                        CLASS.import(py, "framewire.errors", stringify!($class))
                    })+
                }
            }
        }
    };
}

classes!(
    Error,
    ForkedError,
    ClosedError,
    OwnerDiedError,
    TimeoutError,
    LeasesError,
    PassingError,
    CodecError,
    ResourceError,
    OutOfMemoryError,
);

impl Class {
    /// Such an exception, from an error whose text completes "could not …".
    pub(crate) fn could_not(self, error: impl Display) -> PyErr {
        self.says(format!("could not {error}"))
    }

    /// Whether an exception is one.
    pub(crate) fn is(self, py: Python<'_>, error: &PyErr) -> bool {
        self.get(py).is_ok_and(|class| error.is_instance(py, class))
    }

    /// Such an exception, with this text.
    pub(crate) fn says(self, text: String) -> PyErr {
        Python::attach(|py| match self.get(py) {
            Ok(class) => PyErr::from_type(class.clone(), text),
            // The package is half there; its own text is still the best there is.
            Err(_) => pyo3::exceptions::PyRuntimeError::new_err(text),
        })
    }
}

/// Raises a class of a module of the standard library, such as `queue.Empty`.
pub(crate) fn standard(module: &str, class: &str, text: impl Into<Option<String>>) -> PyErr {
    let text = text.into();
    let make = |py: Python<'_>| {
        let class = py.import(module)?.getattr(class)?.cast_into::<PyType>()?;
        PyResult::Ok(match text {
            Some(text) => PyErr::from_type(class, text),
            None => PyErr::from_type(class, ()),
        })
    };
    Python::attach(|py| make(py).unwrap_or_else(|error| error))
}

/// An error of the system, as `ResourceError`.
pub(crate) fn system(what: &str, error: &std::io::Error) -> PyErr {
    Class::ResourceError.could_not(format_args!("{what}: {error}"))
}

/// A handle of the process that this one was forked from.
pub(crate) fn forked(error: shm::fork::Forked) -> PyErr {
    Class::ForkedError.could_not(error)
}

/// Too little memory, or the kernel's refusal.
pub(crate) fn memory(error: &shm::memory::MemoryError) -> PyErr {
    use shm::memory::MemoryError;
    match error {
        MemoryError::OverBudget(_) => Class::OutOfMemoryError.could_not(error),
        MemoryError::System { .. } => Class::ResourceError.could_not(error),
        MemoryError::Alleged { .. } => Class::CodecError.could_not(error),
    }
}
