//! A picture in shared memory, as an array of numpy's over that very memory.

use pyo3::{intern, prelude::*};

use crate::ring::{Frame, Leases};

/// The array. It holds the picture while it, or any view of it, lives.
pub(super) fn array<'py>(py: Python<'py>, picture: graph::Frame, leases: &Leases) -> PyResult<Bound<'py, PyAny>> {
    let noted = leases.note(py, picture.sequence());
    let frame = Bound::new(py, Frame::of(picture, noted))?;
    py.import(intern!(py, "numpy"))?.call_method1(intern!(py, "asarray"), (frame,))
}
