//! A descriptor inside of a message: for what has one of its own (a pipe's end, a socket), and for the standard library's way of
//! sending such.

use std::{
    os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
};

use pyo3::{exceptions::PyOSError, prelude::*, types::PyType};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use shm::wire::Passed;

use super::passing;
use crate::error::Class;

/// A copy of a descriptor, to be sent, or received. It is closed with this object, unless it is taken.
#[pyclass(frozen, module = "framewire._core")]
pub(crate) struct Descriptor(Mutex<Option<OwnedFd>>);

impl Descriptor {
    fn with<T>(&self, use_it: impl FnOnce(&OwnedFd) -> PyResult<T>) -> PyResult<T> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(descriptor) => use_it(descriptor),
            None => Err(Class::ClosedError.says("could not use a descriptor: it was taken before".to_owned())),
        }
    }
}

#[pymethods]
impl Descriptor {
    /// Copies one by its number.
    #[new]
    fn new(fileno: RawFd) -> PyResult<Self> {
        let refused = |errno: rustix::io::Errno| {
            PyOSError::new_err((errno.raw_os_error(), format!("could not copy descriptor {fileno}: {errno}")))
        };
        // Without having to believe that the number is an open one, as borrowing it would.
        let here = pidfd_open(getpid(), PidfdFlags::empty()).map_err(refused)?;
        let copy = pidfd_getfd(here, fileno, PidfdGetfdFlags::empty()).map_err(refused)?;
        Ok(Self(Mutex::new(Some(copy))))
    }

    /// Takes it: the number is the caller's to close.
    fn detach(&self) -> PyResult<RawFd> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken
            .map(IntoRawFd::into_raw_fd)
            .ok_or_else(|| Class::ClosedError.says("could not take a descriptor: it was taken before".to_owned()))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize,))> {
        let number = slf.get().with(|descriptor| {
            let copy = descriptor.as_fd().try_clone_to_owned()?;
            passing::leave("descriptor", &Passed::new(copy))
        })?;
        Ok((slf.get_type().getattr("_received")?, (number,)))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize) -> PyResult<Self> {
        let passed: Passed = passing::arrive("descriptor", number)?;
        Ok(Self(Mutex::new(Some(passed.into_owned()?))))
    }
}
