//! Python's log, carried to where ours goes, with its level.

use pyo3::prelude::*;

/// Logs a line of `logging`, whose levels are numbers.
#[pyfunction]
pub(super) fn log(level: i32, text: &str) {
    match level {
        40.. => tracing::error!(target: "python", "{text}"),
        30..40 => tracing::warn!(target: "python", "{text}"),
        20..30 => tracing::info!(target: "python", "{text}"),
        _ => tracing::debug!(target: "python", "{text}"),
    }
}
