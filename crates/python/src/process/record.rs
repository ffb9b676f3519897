//! A record of Python's `logging` in a child, on its way to the parent.

use process::macro_support::PYTHON;
use pyo3::prelude::*;

/// What a record says; `framewire/_records.py` makes them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Said {
    levelno: i32,
    levelname: String,
    name: String,
    message: String,
    /// A traceback.
    trace: Option<String>,
    /// All of it, as the child's own formatter would have shown it.
    line: Option<String>,
    pathname: String,
    lineno: u32,
    function: Option<String>,
    thread: Option<String>,
    /// The number of the process.
    pid: u32,
    /// Seconds since 1970.
    created: f64,
}

/// Says it, if the parent listens; else it is counted, and the next one tells the count. It never waits.
#[pyfunction]
pub fn log_record(said: Said) {
    let Said { levelno, levelname, name, message, trace, line, pathname, lineno, function, thread, pid, created } =
        said;
    macro_rules! say {
        ($level:ident) => {
            tracing::$level!(
                target: PYTHON, logger = name, trace, line, levelno, levelname, pathname, lineno, function, thread, pid, created, "{message}"
            )
        };
    }
    match levelno {
        40.. => say!(error),
        30..40 => say!(warn),
        20..30 => say!(info),
        _ => say!(debug),
    }
}
