//! `framewire._core`: what the Python package is made of. Conversions only; the logic is in the crates below.

use pyo3::prelude::*;

mod codec;
mod process;
mod wait;

#[pymodule(gil_used = true)]
mod _core {
    use super::*;

    /// Says what the module is before anything else happens.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        process::fill(module)
    }
}
