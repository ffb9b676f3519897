//! What the tests in Python need to see from inside. Nothing of it is public.

use std::{
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

use pyo3::{prelude::*, types::PyBytes};
use shm::wire::{Packet, Passed};

use crate::{
    codec::{self, Codec},
    error::{self, Class},
    wait,
};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(_dumps, module)?)?;
    module.add_function(wrap_pyfunction!(_loads, module)?)?;
    module.add_function(wrap_pyfunction!(_sleep, module)?)?;
    module.add_function(wrap_pyfunction!(_raise, module)?)
}

/// An object as the bytes and the descriptors of a message.
#[pyfunction]
fn _dumps<'py>(object: &Bound<'py, PyAny>, plain: bool) -> PyResult<(Bound<'py, PyBytes>, Vec<RawFd>)> {
    let packet = codec::dumps(object, if plain { Codec::MessagePack } else { Codec::Pickle })?;
    let own = |passed: Passed| passed.into_owned().map(IntoRawFd::into_raw_fd);
    let descriptors: Result<_, _> = packet.descriptors.into_iter().map(own).collect();
    let descriptors = descriptors.map_err(|error| error::system("copy a descriptor", &error))?;
    Ok((PyBytes::new(object.py(), &packet.bytes), descriptors))
}

/// The object again. It takes the descriptors.
#[pyfunction]
fn _loads(py: Python<'_>, bytes: Vec<u8>, descriptors: Vec<RawFd>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: for tests, which give what `_dumps` gave, or a copy of their own.
    let own = |descriptor| Passed::new(unsafe { OwnedFd::from_raw_fd(descriptor) });
    codec::loads(py, Packet { bytes, descriptors: descriptors.into_iter().map(own).collect() })
}

/// Waits for what never comes, by the function that all waits use.
#[pyfunction]
fn _sleep(py: Python<'_>, timeout: Option<f64>) -> PyResult<()> {
    let (never, changed) = (Mutex::new(()), Condvar::new());
    let attempt = |limit: Option<Duration>| {
        let guard = never.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limit.unwrap_or(Duration::MAX);
        drop(changed.wait_timeout_while(guard, limit, |()| true));
        None::<()>
    };
    wait::wait(py, wait::Limit::seconds(timeout)?, attempt).map(drop)
}

/// Raises an error of this library.
#[pyfunction]
fn _raise(text: String) -> PyResult<()> {
    Err(Class::ResourceError.says(text))
}
