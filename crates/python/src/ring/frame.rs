//! A frame, as an array that is nobody's copy.

use std::{
    ffi::c_int,
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError},
};

use pyo3::{
    exceptions::{PyBufferError, PyValueError},
    ffi,
    prelude::*,
    types::{PyDict, PyMemoryView, PyTuple},
};
use shm::ring::{Frame as Held, Info};

use super::{
    layout::{self, Layout},
    leases::Noted,
};
use crate::error::{self, Class};

/// A frame in the ring's own memory, read-only. `numpy.asarray(frame)` copies nothing.
///
/// The slot is held, and so never overwritten, until the frame is released (`with`, `release()`, or dropped) *and* no view of it is
/// left.
#[pyclass(frozen, weakref, module = "framewire")]
pub(crate) struct Frame {
    state: Mutex<State>,
    info: Info,
    layout: Layout,
    sequence: u64,
    length: usize,
}

struct State {
    held: Option<Arc<(Held, Noted)>>,
    views: usize,
    released: bool,
}

impl State {
    fn held(&self) -> PyResult<&Held> {
        let Some(held) = self.held.as_ref().filter(|_| !self.released) else {
            return Err(PyValueError::new_err("could not read a frame that was released: take a copy() before that"));
        };
        held.0.check().map_err(error::forked)?;
        Ok(&held.0)
    }
}

impl Frame {
    pub(crate) fn of(held: Held, noted: Noted) -> Self {
        let (info, length, sequence) = (*held.info(), held.bytes().len(), held.sequence());
        let layout = Layout::of(&info, length);
        let state = State { held: Some(Arc::new((held, noted))), views: 0, released: false };
        Self { state: Mutex::new(state), info, layout, sequence, length }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it can be read: numpy takes an object whose buffer it can't have for a number of its own sort, and says nothing.
    fn check(&self) -> PyResult<()> {
        self.state().held().map(|_| ())
    }
}

#[pymethods]
impl Frame {
    /// The frame's number, from 1; what is missing between two was dropped.
    #[getter]
    fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Presentation time on the source's own axis, in nanoseconds.
    #[getter]
    fn pts_ns(&self) -> i64 {
        self.info.pts_ns
    }

    /// When it was captured or received, by `time.monotonic_ns()`; 0 if its writer didn't say.
    #[getter]
    fn captured_ns(&self) -> i64 {
        self.info.captured_ns
    }

    /// The same by `time.time_ns()`; 0 if its writer didn't say.
    #[getter]
    fn wall_ns(&self) -> i64 {
        self.info.wall_ns
    }

    /// Whether decoding can begin here.
    #[getter]
    fn is_keyframe(&self) -> bool {
        self.info.has(Info::FLAG_KEYFRAME)
    }

    /// Whether something was lost, and the content shows it.
    #[getter]
    fn is_damaged(&self) -> bool {
        self.info.has(Info::FLAG_DAMAGED)
    }

    /// Whether it doesn't continue what came before.
    #[getter]
    fn is_discontinuity(&self) -> bool {
        self.info.has(Info::FLAG_DISCONTINUITY)
    }

    /// "gray8", "rgb24", "bgr24", "i420"; None if it isn't a picture.
    #[getter]
    fn format(&self) -> Option<&'static str> {
        layout::format_name(&self.info)
    }

    /// Width in pixels; 0 if it isn't a picture.
    #[getter]
    fn width(&self) -> u32 {
        self.info.width
    }

    /// Height in pixels; 0 if it isn't a picture.
    #[getter]
    fn height(&self) -> u32 {
        self.info.height
    }

    /// The array's shape: (height, width) for gray8, (height, width, 3) for rgb24 and bgr24, (height * 3 / 2, width) for i420 whose
    /// planes follow each other, as its writer gave it for other arrays, else (bytes,).
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.layout.shape)
    }

    /// Bytes from one element to the next, along each axis.
    #[getter]
    fn strides<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.layout.strides)
    }

    /// How many bytes it has.
    #[getter]
    fn nbytes(&self) -> usize {
        self.length
    }

    /// Each plane of a picture, as an array of its own: one, or three (Y, U, V) for i420.
    #[getter]
    fn planes(slf: &Bound<'_, Self>) -> PyResult<Vec<Plane>> {
        let frame = slf.get();
        frame.check()?;
        let planes = Layout::planes(&frame.info, frame.length).into_iter();
        Ok(planes.map(|layout| Plane { frame: slf.clone().unbind(), layout }).collect())
    }

    /// The array as a numpy array of its own, which holds nothing.
    fn copy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().check()?;
        slf.py().import("numpy")?.call_method1("array", (slf,))
    }

    /// Let go of it; the slot is free when no view of it is left either.
    fn release(&self) {
        let mut state = self.state();
        state.released = true;
        let held = if state.views == 0 { state.held.take() } else { None };
        drop(state);
        drop(held);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.release();
    }

    fn __len__(&self) -> usize {
        self.layout.shape.first().map_or(0, |length| *length as usize)
    }

    fn __repr__(&self) -> String {
        let what = self.format().map_or_else(|| self.layout.item.to_string_lossy().into_owned(), str::to_owned);
        format!(
            "<framewire.Frame {} of shape {:?}, {what}, pts {} ns>",
            self.sequence, self.layout.shape, self.info.pts_ns
        )
    }

    /// What numpy asks for when it can't have the buffer: so it hears why. It comes here for nothing else.
    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        as_array(slf.as_any(), dtype, copy)
    }

    /// It goes nowhere as it is.
    fn __reduce__(&self) -> PyResult<()> {
        Err(Class::PassingError.says(
            "could not pickle a frame: it is memory of its ring, held here; send its copy(), or give the other process a \
             reader of its own (`writer.reader()`)"
                .to_owned(),
        ))
    }

    /// For `torch.from_dlpack` and the like, by numpy.
    #[pyo3(signature = (**options))]
    fn __dlpack__<'py>(slf: &Bound<'py, Self>, options: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        slf.get().check()?;
        slf.py().import("numpy")?.call_method1("asarray", (slf,))?.call_method("__dlpack__", (), options)
    }

    /// The main memory.
    fn __dlpack_device__(&self) -> (u32, u32) {
        (1, 0)
    }

    /// Fills a view.
    ///
    /// # Safety
    ///
    /// Python's: `view` is one to be filled, or null.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: by this function's contract; the layout is a part of `slf`.
        unsafe { lend(slf.get(), slf.as_any(), &slf.get().layout, view, flags) }
    }

    /// A view is gone.
    ///
    /// # Safety
    ///
    /// Python's: `view` is one that `__getbuffer__` filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        give_back(self);
    }
}

/// A plane of a picture. It holds the frame's slot while any view of it lives.
#[pyclass(frozen, module = "framewire")]
pub(crate) struct Plane {
    frame: Py<Frame>,
    layout: Layout,
}

#[pymethods]
impl Plane {
    /// (rows, columns), and samples if there are several a pixel.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, &self.layout.shape)
    }

    /// As [`Frame`]'s.
    #[pyo3(signature = (dtype = None, copy = None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        as_array(slf.as_any(), dtype, copy)
    }

    /// Fills a view.
    ///
    /// # Safety
    ///
    /// Python's: `view` is one to be filled, or null.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let plane = slf.get();
        // SAFETY: by this function's contract; the layout is a part of `slf`, which keeps the frame.
        unsafe { lend(plane.frame.get(), slf.as_any(), &plane.layout, view, flags) }
    }

    /// A view is gone.
    ///
    /// # Safety
    ///
    /// Python's: `view` is one that `__getbuffer__` filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        give_back(self.frame.get());
    }
}

/// By a view, which says why there can be none.
fn as_array<'py>(
    owner: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(owner)?;
    let options = PyDict::new(owner.py());
    options.set_item("dtype", dtype)?;
    if let Some(copy) = copy {
        options.set_item("copy", copy)?;
    }
    let make = if copy.is_none() { "asarray" } else { "array" };
    owner.py().import("numpy")?.call_method(make, (view,), Some(&options))
}

/// Fills a view with an array of a frame, and counts it.
///
/// # Safety
///
/// `view` is Python's to be filled, or null; `layout` and `frame` live as long as `owner`.
unsafe fn lend(
    frame: &Frame,
    owner: &Bound<'_, PyAny>,
    layout: &Layout,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("could not lend a frame: there is no view to fill"));
    }
    let wants = |flag| flags & flag == flag;
    if wants(ffi::PyBUF_WRITABLE) {
        return Err(PyBufferError::new_err("could not write to a frame: it is other readers' too; take a copy()"));
    }
    let contiguous = layout.is_contiguous();
    let fortran = wants(ffi::PyBUF_F_CONTIGUOUS) && layout.shape.len() > 1;
    if fortran || (!contiguous && (!wants(ffi::PyBUF_STRIDES) || wants(ffi::PyBUF_C_CONTIGUOUS))) {
        let text = "could not lend a frame as contiguous bytes: its rows have a stride; take a copy()";
        return Err(PyBufferError::new_err(text));
    }
    let mut state = frame.state();
    // A layout lies inside its frame's bytes.
    let start: NonNull<u8> = NonNull::from(&state.held()?.bytes()[layout.offset..]).cast();
    state.views += 1;
    drop(state);
    let has = |flag, pointer: *const isize| if wants(flag) { pointer.cast_mut() } else { std::ptr::null_mut() };
    // SAFETY: `view` is not null, and ours to fill. What it points to is in `owner`, which it takes a reference to, and in the slot,
    // which is held until `__releasebuffer__`. Nobody writes there: it is marked read-only.
    unsafe {
        (*view).buf = start.as_ptr().cast();
        (*view).obj = owner.clone().into_ptr();
        (*view).len = layout.length();
        (*view).readonly = 1;
        (*view).itemsize = layout.item_bytes as isize;
        (*view).format = if wants(ffi::PyBUF_FORMAT) { layout.item.as_ptr().cast_mut() } else { std::ptr::null_mut() };
        (*view).ndim = layout.shape.len() as c_int;
        (*view).shape = has(ffi::PyBUF_ND, layout.shape.as_ptr());
        (*view).strides = has(ffi::PyBUF_STRIDES, layout.strides.as_ptr());
        (*view).suboffsets = std::ptr::null_mut();
        (*view).internal = std::ptr::null_mut();
    }
    Ok(())
}

fn give_back(frame: &Frame) {
    let mut state = frame.state();
    state.views = state.views.saturating_sub(1);
    let held = if state.views == 0 && state.released { state.held.take() } else { None };
    drop(state);
    drop(held);
}
