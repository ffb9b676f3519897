//! A process whose handlers are Python's: the life and the protocol that `#[commands]` would write, by names.

use std::{panic::resume_unwind, process::ExitCode};

use process::{
    BoxError, Commands, Context, Failure, Handle, Process, Program, Shared, Turn, macro_support::Dispatched,
};
use pyo3::{exceptions::PyRuntimeError, prelude::*, sync::PyOnceLock, types::PyBytes};
use shm::wire::{Packet, Raw};

use super::{
    answer::{self, Answer},
    context::{ChildContext, Wish},
    interpreter::Interpreter,
    message,
    timer::Timer,
    watched::Watched,
};
/// The Python side of this child, `framewire.worker.Host`: it knows the class, and does what is asked.
static HOST: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Lives as the child that `arguments` name, and gives its exit code; `None` if they name none. With a `zygote`, which is a
/// `framewire._zygote.Zygote`, copies of this interpreter do.
#[pyfunction]
#[pyo3(signature = (host, arguments, zygote=None))]
pub fn run_child(
    py: Python<'_>,
    host: Py<PyAny>,
    arguments: Vec<String>,
    zygote: Option<Py<PyAny>>,
) -> PyResult<Option<i32>> {
    if HOST.set(py, host).is_err() {
        return Err(PyRuntimeError::new_err("could not become a process: this interpreter is one already"));
    }
    // Its loop runs without the interpreter's lock, which handlers take.
    let ended = py.detach(|| {
        let program = Program::new().process::<PythonProcess>();
        let zygote = zygote.map(|zygote| Box::new(Interpreter::new(zygote)));
        zygote.into_iter().fold(program, |program, zygote| program.host(zygote)).run_child(arguments)
    });
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
    /// The limit that a class sets is held in Python.
    const CONCURRENT_CALLS: usize = 1 << 20;

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

    fn dispatch(this: &Shared<Self>, command: Raw) -> Dispatched {
        let done = this.with_context(|this, cx| {
            Python::attach(|py| {
                let done = answer::answer(py, command.into_packet());
                this.grant(py, cx).map_err(|error| Failure { why: error.to_string(), trace: None })?;
                done
            })
        });
        match done {
            Ok(Answer::Done(answer)) => Dispatched::Done(Ok(answer)),
            Ok(Answer::Begun(task)) => Dispatched::Begun(Box::pin(task)),
            // How Rust says that a handler failed; nothing of Python's is on the stack here.
            Err(failure) => resume_unwind(Box::new(failure)),
        }
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

pub fn host(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    HOST.get(py).map(|host| host.bind(py)).ok_or_else(|| PyRuntimeError::new_err("this interpreter is no process"))
}

fn begin(py: Python<'_>, config: Packet, cx: &Context<PythonProcess>) -> PyResult<PythonProcess> {
    let host = host(py)?;
    let (preparation, config) = message::take_preparation(config);
    let pickles = preparation.is_some();
    if let Some(preparation) = preparation {
        host.call_method1("prepare", (PyBytes::new(py, &preparation),))?;
    }
    let (arguments, keywords) = answer::arguments(py, config)?;
    let context = Py::new(py, ChildContext::new(cx.name().to_owned(), cx.voice(), pickles))?;
    let timer = Timer::new()?;
    host.call_method1("start", (&context, arguments, keywords))?;
    Ok(PythonProcess { context, watched: Watched::default(), timer })
}

/// An exception with its traceback, for whoever isn't Python.
fn with_trace(py: Python<'_>, error: &PyErr) -> String {
    let told = host(py)
        .and_then(|host| host.call_method1("describe", (error.clone_ref(py).into_value(py),))?.extract::<String>());
    told.unwrap_or_else(|_| error.to_string())
}
