//! Plain bytes that processes share: what `Value`, `Array` and `SharedMemory` are made of.

use std::{ffi::c_int, ptr::NonNull};

use pyo3::{exceptions::PyValueError, ffi, prelude::*, types::PyType};
use shm::lock::Array;

use super::room;
use crate::codec::{lent, passing};

/// So many zeroed bytes, which any process that has it reads and writes, by the buffer protocol. Nothing locks it.
#[pyclass(frozen, module = "framewire._core")]
pub(crate) struct Block(Array<u8>);

#[pymethods]
impl Block {
    #[new]
    fn new(size: usize) -> PyResult<Self> {
        if size == 0 {
            return Err(PyValueError::new_err("could not make shared memory of 0 bytes: 1 is the least"));
        }
        room::make(size.saturating_add(1024), |arena| Array::create(arena, size, 0)).map(Self)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Fills a view.
    ///
    /// # Safety
    ///
    /// Python's: `view` is one to be filled, or null.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let array = &slf.get().0;
        let start: NonNull<u8> = array.start();
        // SAFETY: the array's bytes stay mapped while `slf` lives. No Rust code makes a reference to them.
        unsafe { lent::fill(slf.as_any(), view, flags, start, array.len(), true) }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize,))> {
        let number = passing::leave("shared memory", &slf.get().0)?;
        Ok((slf.get_type().getattr("_received")?, (number,)))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize) -> PyResult<Self> {
        passing::arrive("shared memory", number).map(Self)
    }
}
