//! A queue's errors as exceptions: those of the standard library where it has one.

use pyo3::PyErr;
use shm::queue::{GetError, PutError, QueueError};

use crate::{
    error::{self, Class},
    sync::arena_error,
};

pub(super) fn put<T>(error: PutError<T>) -> PyErr {
    match error {
        PutError::Full(_) => error::standard("queue", "Full", None),
        PutError::Closed(_) => Class::ClosedError.could_not(error),
        PutError::Forked(_) => Class::ForkedError.could_not(error),
        PutError::TooLarge { .. } | PutError::Encode { .. } => Class::CodecError.could_not(error),
        PutError::Descriptors { .. } | PutError::Send { .. } | PutError::System { .. } => {
            Class::ResourceError.could_not(error)
        }
    }
}

pub(super) fn get(error: GetError) -> PyErr {
    match error {
        GetError::Empty => error::standard("queue", "Empty", None),
        GetError::Closed => Class::ClosedError.could_not(error),
        GetError::Forked(forked) => error::forked(forked),
        GetError::Decode(_) => Class::CodecError.could_not(error),
        GetError::Descriptors(_) | GetError::DescriptorsMissing | GetError::System(_) => {
            Class::ResourceError.could_not(error)
        }
    }
}

pub(super) fn create(error: &QueueError) -> PyErr {
    match error {
        QueueError::Arena(error) => arena_error(error),
        QueueError::Sockets(_) | QueueError::TooManyMembers => Class::ResourceError.could_not(error),
        _ => pyo3::exceptions::PyValueError::new_err(format!("could not {error}")),
    }
}
