//! CPython's ways, measured by CPython itself in the same turns.

use bench::Outcome;
pub use bench::python::Python;

const SCRIPT: &str = include_str!("peers.py");

/// Starts the part of the script that has this name.
pub fn start(part: &str) -> Outcome<Python> {
    Python::start(SCRIPT, part)
}
