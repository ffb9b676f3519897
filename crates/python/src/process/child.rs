//! A process whose handlers are Python's: the life and the protocol that `#[commands]` would write, by names.

use std::{panic::resume_unwind, process::ExitCode};

use process::{BoxError, Commands, Context, Failure, Handle, Process, Program, Turn};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyTuple},
};
use shm::wire::{EncodeError, Packet, Raw};

use super::{
    context::{ChildContext, Wish},
    message::{self, Command},
    timer::Timer,
    watched::Watched,
};
use crate::codec::{self, Codec};

/// The Python side of this child, `framewire.worker.Host`: it knows the class, and does what is asked.
static HOST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Lives as the child that `arguments` name, and gives its exit code; `None` if they name none.
#[pyfunction]
pub fn run_child(py: Python<'_>, host: Py<PyAny>, arguments: Vec<String>) -> PyResult<Option<i32>> {
    if HOST.set(py, host).is_err() {
        return Err(PyRuntimeError::new_err("could not become a process: this interpreter is one already"));
    }
    // Its loop runs without the interpreter's lock, which handlers take.
    let ended = py.detach(|| Program::new().process::<PythonProcess>().run_child(arguments));
    Ok(ended.map(|code| i32::from(code != ExitCode::SUCCESS)))
}

/// A process in Python, as both sides have it.
pub struct PythonProcess {
    context: Py<ChildContext>,
    watched: Watched,
    timer: Timer,
}

/// A handle on one; all its commands go by names.
#[derive(Clone)]
pub struct PythonHandle(pub Handle);

impl From<Handle> for PythonHandle {
    fn from(handle: Handle) -> Self {
        Self(handle)
    }
}

impl From<PythonHandle> for Handle {
    fn from(handle: PythonHandle) -> Self {
        handle.0
    }
}

impl Process for PythonProcess {
    const KIND: &'static str = "python";
    type Config = Raw;
    type Event = Raw;

    fn start(config: Raw, cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Python::attach(|py| {
            let started = begin(py, config.into_packet(), cx);
            let mut this = started.map_err(|error| format!("start: {}", with_trace(py, &error)))?;
            this.grant(py, cx)?;
            Ok(this)
        })
    }

    fn turn(&mut self, cx: &mut Context<Self>) -> Result<Turn, BoxError> {
        Python::attach(|py| {
            let turned = self.take_turn(py, cx);
            turned.map_err(|error| with_trace(py, &error).into())
        })
    }

    fn stop(self) {
        Python::attach(|py| {
            if let Err(error) = host(py).and_then(|host| host.call_method0("stop")) {
                error.print(py); // what it is told is captured; it is stopping anyway
            }
        });
    }
}

impl Commands for PythonProcess {
    type Command = Raw;
    type Handle = PythonHandle;
    const PROTOCOL: u64 = 0; // any: it goes by names

    fn dispatch(&mut self, command: Raw, cx: &mut Context<Self>) -> Result<Packet, EncodeError> {
        let done = Python::attach(|py| {
            let done = answer(py, command.into_packet());
            match self.grant(py, cx) {
                Ok(()) => done,
                Err(why) => Err(Failure { why: why.to_string(), trace: None }),
            }
        });
        // Rust's way of saying that a handler failed; nothing of Python's is on the stack here.
        Ok(done.unwrap_or_else(|failure| resume_unwind(Box::new(failure))))
    }
}

impl PythonProcess {
    /// Does what the handler wished of the context meanwhile.
    fn grant(&mut self, py: Python<'_>, cx: &mut Context<Self>) -> Result<(), BoxError> {
        for wish in self.context.get().take_wishes() {
            match wish {
                Wish::Watch { number, descriptor, callback } => {
                    let call = move |this: &mut Self, cx: &mut Context<Self>| {
                        Python::attach(|py| {
                            callback.call0(py).map_err(|error| with_trace(py, &error))?;
                            this.grant(py, cx)
                        })
                    };
                    self.watched.add(number, cx.watch(descriptor, call)?);
                }
                Wish::Unwatch(number) => self.watched.remove(number).into_iter().for_each(|watch| cx.unwatch(watch)),
                Wish::Timer => {
                    let watch = cx.watch(&self.timer, |_, _| Ok(()))?;
                    self.watched.add(u64::MAX, watch);
                }
            }
        }
        let _ = py;
        Ok(())
    }

    fn take_turn(&mut self, py: Python<'_>, cx: &mut Context<Self>) -> PyResult<Turn> {
        py.check_signals()?;
        if !self.context.get().has_guest() {
            return Ok(Turn::Sleep);
        }
        // Python's own loop goes as far as it can; then it says when it wants to go on.
        let wanted: Option<f64> = host(py)?.call_method0("turn")?.extract()?;
        self.grant(py, cx).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        if wanted.is_some_and(|seconds| seconds <= 0.0) {
            return Ok(Turn::Again);
        }
        self.timer.set(wanted)?;
        Ok(Turn::Sleep)
    }
}

fn host(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    HOST.get(py).map(|host| host.bind(py)).ok_or_else(|| PyRuntimeError::new_err("this interpreter is no process"))
}

fn begin(py: Python<'_>, config: Packet, cx: &Context<PythonProcess>) -> PyResult<PythonProcess> {
    let host = host(py)?;
    let (preparation, config) = message::take_preparation(config);
    let pickles = preparation.is_some();
    if let Some(preparation) = preparation {
        host.call_method1("prepare", (PyBytes::new(py, &preparation),))?;
    }
    let (arguments, keywords) = arguments(py, config)?;
    let context = Py::new(py, ChildContext::new(cx.name().to_owned(), cx.voice(), pickles))?;
    let timer = Timer::new()?;
    host.call_method1("start", (&context, arguments, keywords))?;
    Ok(PythonProcess { context, watched: Watched::default(), timer })
}

/// What was encoded as arguments: positional and named ones from Python, named ones from elsewhere.
fn arguments(py: Python<'_>, packet: Packet) -> PyResult<(Bound<'_, PyTuple>, Bound<'_, PyDict>)> {
    if message::is_pickled(&packet) {
        return codec::loads(py, packet)?.bind(py).extract().map_err(PyErr::from);
    }
    let loaded = codec::loads(py, packet)?.into_bound(py);
    if loaded.is_none() {
        return Ok((PyTuple::empty(py), PyDict::new(py)));
    }
    match loaded.cast_into::<PyDict>() {
        Ok(named) => Ok((PyTuple::empty(py), named)),
        // One value that is no map is the one argument.
        Err(other) => Ok((PyTuple::new(py, [other.into_inner()])?, PyDict::new(py))),
    }
}

fn answer(py: Python<'_>, packet: Packet) -> Result<Packet, Failure> {
    let command = Command::read(packet).map_err(|why| Failure { why: format!("could not {why}"), trace: None })?;
    let (pickles, done) = match command {
        Command::Task(function, argument) => (true, task(py, &function, argument)),
        Command::Named(name, packet) => {
            let pickles = message::is_pickled(&packet);
            (pickles, call(py, &name, packet, pickles))
        }
    };
    done.or_else(|error| failed(py, error, pickles))
}

fn call(py: Python<'_>, name: &str, packet: Packet, pickles: bool) -> PyResult<Packet> {
    let (arguments, keywords) = arguments(py, packet)?;
    let answer = host(py)?.call_method1("command", (name, arguments, keywords))?;
    codec::dumps(py, &answer, if pickles { Codec::Pickle } else { Codec::Plain })
}

fn task(py: Python<'_>, function: &[u8], argument: Packet) -> PyResult<Packet> {
    let function = host(py)?.call_method1("function", (PyBytes::new(py, function),))?;
    let answer = function.call1((codec::loads(py, argument)?,))?;
    codec::dumps(py, &answer, Codec::Pickle)
}

/// An exception as its caller understands it: to Python as itself, to others as text.
fn failed(py: Python<'_>, error: PyErr, pickles: bool) -> Result<Packet, Failure> {
    let told = host(py).and_then(|host| host.call_method1("failed", (error.value(py), pickles))).and_then(|told| {
        let told: (Option<Vec<u8>>, String, String) = told.extract()?;
        Ok(told)
    });
    match told {
        Ok((Some(pickled), ..)) => Ok(message::raised(&pickled)),
        Ok((None, why, trace)) => Err(Failure { why, trace: Some(trace) }),
        Err(other) => Err(Failure { why: format!("{error} (and that could not be told: {other})"), trace: None }),
    }
}

/// An exception with its traceback, for whoever isn't Python.
fn with_trace(py: Python<'_>, error: &PyErr) -> String {
    let told = host(py).and_then(|host| host.call_method1("describe", (error.value(py),))?.extract::<String>());
    told.unwrap_or_else(|_| error.to_string())
}

