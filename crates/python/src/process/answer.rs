//! What a child answers: a command read, done by the Python side, and its outcome written.

use process::Failure;
use pyo3::{
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyTuple, PyType},
};
use shm::wire::Packet;

use super::{
    child::host,
    message::{self, Command},
    task::Task,
};
use crate::codec::{self, Codec};

/// What came of a command.
pub enum Answer {
    Done(Packet),
    /// An `async def` goes on in Python's own loop.
    Begun(Task),
}

/// Does what is asked.
pub fn answer(py: Python<'_>, packet: Packet) -> Result<Answer, Failure> {
    let command = Command::read(packet).map_err(|why| Failure { why: format!("could not {why}"), trace: None })?;
    let (pickles, done) = match command {
        Command::Task(function, argument) => (true, task(py, &function, argument)),
        Command::Named(name, packet) => {
            let pickles = message::is_pickled(&packet);
            (pickles, call(py, &name, packet))
        }
    };
    let written = done.and_then(|answer| {
        if is_coroutine(&answer)? {
            return Ok(Answer::Begun(Task::new(answer.unbind(), pickles)));
        }
        write(&answer, pickles).map(Answer::Done)
    });
    written.or_else(|error| failed(py, &error, pickles).map(Answer::Done))
}

/// An answer in the codec of its call.
pub fn write(answer: &Bound<'_, PyAny>, pickles: bool) -> PyResult<Packet> {
    codec::dumps(answer, if pickles { Codec::Pickle } else { Codec::MessagePack })
}

fn call<'py>(py: Python<'py>, name: &str, packet: Packet) -> PyResult<Bound<'py, PyAny>> {
    let (arguments, keywords) = arguments(py, packet)?;
    host(py)?.call_method1("command", (name, arguments, keywords))
}

fn task<'py>(py: Python<'py>, function: &[u8], argument: Packet) -> PyResult<Bound<'py, PyAny>> {
    host(py)?.call_method1("task", (PyBytes::new(py, function), codec::loads(py, argument)?))
}

fn is_coroutine(answer: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(answer.is_exact_instance(COROUTINE.import(answer.py(), "types", "CoroutineType")?))
}

/// What was encoded as arguments: positional and named ones from Python, named ones from elsewhere.
pub fn arguments(py: Python<'_>, packet: Packet) -> PyResult<(Bound<'_, PyTuple>, Bound<'_, PyDict>)> {
    if message::is_pickled(&packet) {
        return codec::loads(py, packet)?.extract();
    }
    let loaded = codec::loads(py, packet)?;
    if loaded.is_none() {
        return Ok((PyTuple::empty(py), PyDict::new(py)));
    }
    match loaded.cast_into::<PyDict>() {
        Ok(named) => Ok((PyTuple::empty(py), named)),
        // One value that is no map is the one argument.
        Err(other) => Ok((PyTuple::new(py, [other.into_inner()])?, PyDict::new(py))),
    }
}

/// An exception as its caller understands it: to Python as itself, to others as text.
pub fn failed(py: Python<'_>, error: &PyErr, pickles: bool) -> Result<Packet, Failure> {
    let told = host(py).and_then(|host| host.call_method1("failed", (error.clone_ref(py).into_value(py), pickles)));
    let told: PyResult<(Option<Vec<u8>>, String, String)> = told.and_then(|told| told.extract());
    match told {
        Ok((Some(pickled), ..)) => Ok(message::raised(&pickled)),
        Ok((None, why, trace)) => Err(Failure { why, trace: Some(trace) }),
        Err(other) => Err(Failure { why: format!("{error} (and that could not be told: {other})"), trace: None }),
    }
}
