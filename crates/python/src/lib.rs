//! `framewire._core`: what the Python package is made of. Conversions only; the logic is in the crates below.

mod block;
mod codec;
mod error;
mod later;
mod map;
mod private_tests;
mod process;
mod queue;
mod ring;
mod sync;
mod wait;

use pyo3::prelude::*;

#[pymodule(gil_used = true)]
mod _core {
    use super::*;

    /// Each concept registers itself, by a line of its own.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        codec::register(module)?;
        block::register(module)?;
        later::register(module)?;
        map::register(module)?;
        private_tests::register(module)?;
        process::register(module)?;
        queue::register(module)?;
        ring::register(module)?;
        sync::register(module)?;
        Ok(())
    }
}
