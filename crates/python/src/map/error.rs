//! A map's errors as exceptions.

use pyo3::{PyErr, exceptions::PyValueError};
use shm::map::MapError;

use crate::{
    error::{self, Class},
    sync::arena_error,
};

pub(super) fn map_error(error: &MapError) -> PyErr {
    match error {
        MapError::Arena(error) => arena_error(error),
        MapError::Memory(error) => error::memory(error),
        MapError::Full { .. } => Class::OutOfMemoryError.could_not(error),
        MapError::Limit(_) => PyValueError::new_err(format!("could not {error}")),
        MapError::System(source) => error::system("wait for a map to change", source),
        MapError::Forked(forked) => error::forked(*forked),
        MapError::Broken(_) | MapError::Busy | MapError::TimedOut => Class::Error.could_not(error),
    }
}
