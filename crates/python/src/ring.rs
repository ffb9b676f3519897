//! Rings: frames from one writer to many readers.

mod error;
mod frame;
mod layout;
mod leases;
mod policy;
mod reader;
mod service;
mod writer;

pub(crate) use self::{frame::Frame, leases::Leases};

use pyo3::prelude::*;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<frame::Frame>()?;
    module.add_class::<frame::Plane>()?;
    module.add_class::<reader::Reader>()?;
    module.add_class::<writer::RingWriter>()
}
