//! Memory that Python looks into by the buffer protocol.

use std::{ffi::c_int, ptr::NonNull};

use pyo3::{exceptions::PyBufferError, ffi, prelude::*};

/// What owns the memory, and keeps it where it is.
pub(crate) trait Owner: Send + Sync {}

impl<T: Send + Sync> Owner for T {}

/// Bytes of shared memory, lent for as long as any view of them lives. It has the buffer protocol and nothing else.
#[pyclass(frozen, module = "framewire._core")]
pub(crate) struct Lent {
    start: NonNull<u8>,
    length: usize,
    writable: bool,
    _owner: Box<dyn Owner>,
}

// SAFETY: `start` points to memory of `_owner`, which may go to any thread. Rust code never reads or writes through it.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl Lent {
    /// Lends bytes.
    ///
    /// # Safety
    ///
    /// `length` bytes from `start` stay mapped for as long as `owner` lives (readable, and writable if `writable`), and no Rust
    /// reference to them is used while others may write them.
    pub(crate) unsafe fn new(start: NonNull<u8>, length: usize, writable: bool, owner: impl Owner + 'static) -> Self {
        Self { start, length, writable, _owner: Box::new(owner) }
    }
}

#[pymethods]
impl Lent {
    fn __len__(&self) -> usize {
        self.length
    }

    /// Fills a view.
    ///
    /// # Safety
    ///
    /// Python's: `view` is one to be filled, or null.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let lent = slf.get();
        // SAFETY: by the contract of `new`; a view takes a reference to `slf`, and so keeps the memory.
        unsafe { fill(slf.as_any(), view, flags, lent.start, lent.length, lent.writable) }
    }
}

/// Fills a view of plain bytes.
///
/// # Safety
///
/// `view` is Python's to be filled, or null. The bytes stay where they are for as long as `owner` lives.
pub(crate) unsafe fn fill(
    owner: &Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    start: NonNull<u8>,
    length: usize,
    writable: bool,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("could not lend memory: there is no view to fill"));
    }
    let length = length as ffi::Py_ssize_t; // no mapping is longer
    let (start, read_only) = (start.as_ptr().cast(), c_int::from(!writable));
    // SAFETY: `view` is not null, and Python's to fill. It takes a reference to `owner`, and so the memory outlives it.
    let filled = unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start, length, read_only, flags) };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}
