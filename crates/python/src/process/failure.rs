//! What goes wrong with processes, as exceptions of `framewire`. The classes are written in Python; here is what fills them.

use process::{
    CallError, StartError,
    pool::{PoolError, TaskError},
};
use pyo3::{prelude::*, types::PyBytes};

use super::exit::describe;

fn make<'py>(py: Python<'py>, maker: &str, arguments: impl pyo3::call::PyCallArgs<'py>) -> PyErr {
    let made = py.import("framewire._failures").and_then(|module| module.call_method1(maker, arguments));
    made.map_or_else(|error| error, PyErr::from_value)
}

pub fn call(py: Python<'_>, error: CallError) -> PyErr {
    let text = format!("could not {error}");
    match error {
        CallError::Died { name, how } => make(py, "died", (text, name, describe(&how))),
        CallError::NotRunning { name, .. } | CallError::TakesNoCalls { name } => make(py, "not_running", (text, name)),
        CallError::TimedOut { name } => make(py, "timed_out", (text, name)),
        CallError::HandlerFailed { name, why, trace } => make(py, "handler_failed", (text, name, why, trace)),
        CallError::NotSent { name, .. } | CallError::BadMessage { name, .. } => make(py, "not_sent", (text, name)),
    }
}

pub fn start(py: Python<'_>, error: &StartError) -> PyErr {
    make(py, "not_started", (format!("could not {error}"), error.name.clone(), error.exit.as_ref().map(describe)))
}

pub fn task(py: Python<'_>, error: TaskError) -> PyErr {
    let text = format!("could not {error}");
    match error {
        TaskError::WorkerLost { worker, how } => make(py, "worker_lost", (text, worker, describe(&how))),
        TaskError::DeadLetter { how, .. } => make(py, "worker_lost", (text, None::<String>, describe(&how))),
        TaskError::HandlerFailed { worker, why } => make(py, "handler_failed", (text, worker, why, None::<String>)),
        TaskError::TimedOut => make(py, "timed_out", (text, None::<String>)),
        TaskError::Pool(error) => pool(py, &error),
        TaskError::NotSent { .. } | TaskError::BadMessage { .. } | TaskError::Cancelled => {
            make(py, "not_sent", (text, None::<String>))
        }
    }
}

pub fn pool(py: Python<'_>, error: &PoolError) -> PyErr {
    let kind = match error {
        PoolError::Failed { .. } => "pool_failed",
        PoolError::Closed | PoolError::Terminated | PoolError::StillOpen => "pool_not_running",
    };
    make(py, kind, (format!("could not {error}"),))
}

/// The exception that a process has raised, from its pickle.
pub fn raised(py: Python<'_>, pickled: &[u8]) -> PyErr {
    make(py, "raised", (PyBytes::new(py, pickled),))
}

/// As [`make`], of whatever stops a forked child.
pub fn forked(py: Python<'_>) -> PyErr {
    make(py, "forked", ())
}
