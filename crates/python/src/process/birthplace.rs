//! Where something was made: a forked child has a copy of the memory, but not of the supervisor's thread.

use pyo3::prelude::*;

use super::failure;

/// The process in which something was made.
#[derive(Clone, Copy, Debug)]
pub struct Birthplace(u32);

impl Birthplace {
    pub fn here() -> Self {
        Self(std::process::id())
    }

    /// Raises `framewire.ForkedError` anywhere else.
    pub fn check(self, py: Python<'_>) -> PyResult<()> {
        if self.is_here() { Ok(()) } else { Err(failure::forked(py)) }
    }

    pub fn is_here(self) -> bool {
        self.0 == std::process::id()
    }
}
