//! Waiting as Python wants it: without the GIL, and so that Ctrl-C is heard.
//!
//! Python runs its signal handlers in the main thread only, and only when that thread asks. So there a wait is made of slices,
//! with a look between; all other threads just wait.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use pyo3::{exceptions::PyValueError, prelude::*, sync::PyOnceLock};

/// How late a signal is heard at most. The goal is 100 ms; twenty looks a second cost nothing that one could measure.
const SLICE: Duration = Duration::from_millis(50);

/// How long something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// For as long as it takes.
    Never,
    /// Until then.
    Until(Instant),
}

impl Limit {
    /// A `timeout` as in the standard library: seconds, `None` for no limit, and what is negative is 0.
    pub(crate) fn seconds(timeout: Option<f64>) -> PyResult<Self> {
        let Some(seconds) = timeout else { return Ok(Self::Never) };
        if seconds.is_nan() {
            return Err(PyValueError::new_err("could not wait for NaN seconds: give a number, or None for no limit"));
        }
        // What no duration can hold, no clock reaches.
        let limit = Duration::try_from_secs_f64(seconds.max(0.0)).ok();
        Ok(limit.and_then(|limit| Instant::now().checked_add(limit)).map_or(Self::Never, Self::Until))
    }

    /// As the pair of arguments that `acquire`, `get` and `put` have.
    pub(crate) fn blocking(block: bool, timeout: Option<f64>) -> PyResult<Self> {
        if block { Self::seconds(timeout) } else { Ok(Self::Until(Instant::now())) }
    }

    /// What is left of it; `None` for no limit.
    pub(crate) fn left(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Until(end) => Some(end.saturating_duration_since(Instant::now())),
        }
    }
}

/// Waits without the GIL. `attempt` waits for as long as it is told (`None`: for as long as it takes) and says what came, or
/// `None` if nothing did within that. It may be called many times, and at least once.
///
/// # Errors
///
/// What a signal's handler raised; whatever `attempt` gives up between two calls is then given up.
pub(crate) fn wait<R: Send>(
    py: Python<'_>,
    limit: Limit,
    mut attempt: impl FnMut(Option<Duration>) -> Option<R> + Send,
) -> PyResult<Option<R>> {
    if !is_main_thread(py)? {
        return Ok(py.detach(|| attempt(limit.left())));
    }
    loop {
        let left = limit.left();
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        if let Some(came) = py.detach(|| attempt(Some(slice))) {
            return Ok(Some(came));
        }
        py.check_signals()?;
        if left.is_some_and(|left| left <= slice) {
            return Ok(None);
        }
    }
}

/// For a wait that can't be made in slices, but asks now and then whether to go on. What it is to be told is in `raised`.
///
/// # Errors
///
/// If Python itself can't be asked which thread this is.
pub(crate) fn listener(py: Python<'_>) -> PyResult<impl FnMut() -> PyResult<()> + Send + use<>> {
    let listens = is_main_thread(py)?;
    Ok(move || if listens { Python::attach(|py| py.check_signals()) } else { Ok(()) })
}

/// Whether this is the thread in which Python runs signal handlers.
fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        static IS_MAIN: Cell<Option<bool>> = const { Cell::new(None) };
    }
    if let Some(known) = IS_MAIN.get() {
        return Ok(known);
    }
    static MAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static HERE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let main = MAIN.import(py, "threading", "main_thread")?.call0()?.getattr("ident")?;
    let here = HERE.import(py, "threading", "get_ident")?.call0()?;
    let is_main = main.eq(here)?;
    IS_MAIN.set(Some(is_main));
    Ok(is_main)
}
