//! A ring's errors as exceptions.

use pyo3::PyErr;
use shm::ring::{MeetError, ReadError, RingError};

use crate::error::{self, Class};

pub(super) fn read(error: ReadError) -> PyErr {
    match error {
        ReadError::WriterGone => Class::ClosedError.could_not(error),
        ReadError::AllLeasesHeld { .. } => Class::LeasesError.could_not(error),
        ReadError::Memory(memory) => error::memory(&memory),
        ReadError::Forked(forked) => error::forked(forked),
        ReadError::System(_) => Class::ResourceError.could_not(error),
        ReadError::Refused(_) | ReadError::Protocol(_) => Class::Error.could_not(error),
    }
}

pub(super) fn write(error: &RingError) -> PyErr {
    match error {
        RingError::Memory(memory) => error::memory(memory),
        RingError::OverBudget { .. } => Class::OutOfMemoryError.could_not(error),
        RingError::Depth(_) => pyo3::exceptions::PyValueError::new_err(format!("could not {error}")),
        RingError::Forked(forked) => error::forked(*forked),
        RingError::System(_) => Class::ResourceError.could_not(error),
        _ => Class::Error.could_not(error),
    }
}

pub(super) fn meet(error: MeetError) -> PyErr {
    match error {
        MeetError::Read(error) => read(error),
        MeetError::Forked(forked) => error::forked(forked),
        MeetError::NotAllowed { .. } => Class::Error.could_not(error),
        MeetError::Serve { .. } | MeetError::Connect { .. } => Class::ResourceError.could_not(error),
    }
}
