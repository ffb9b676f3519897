//! A picture in shared memory, as an array of numpy's over that very memory.

use std::ffi::c_int;

use blocks::Picture;
use graph::{Frame, Info};
use media::view::Format;
use pyo3::{exceptions::PyValueError, ffi, prelude::*, types::PyDict};

/// Holds a frame for as long as an array over it lives.
#[pyclass(frozen, module = "framewire._core")]
struct HeldFrame(Frame);

#[pymethods]
impl HeldFrame {
    /// # Safety
    ///
    /// As the buffer protocol has it: `view` is to be filled in, and isn't in use.
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = slf.get().0.bytes();
        let (start, length) = (bytes.as_ptr().cast_mut().cast(), bytes.len().cast_signed());
        // SAFETY: `view` is as the caller promises. The bytes stay where they are, and unchanged, while the frame is held: by
        // this object, to which the view takes a reference. The view is read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// The array. It holds the picture while it, or any view of it, lives.
pub(super) fn array(py: Python<'_>, frame: Frame) -> PyResult<Bound<'_, PyAny>> {
    let (info, length) = (*frame.info(), frame.bytes().len());
    let (shape, strides) = shape(&info, length).map_err(PyValueError::new_err)?;
    let numpy = py.import(pyo3::intern!(py, "numpy"))?;
    let given = PyDict::new(py);
    given.set_item("shape", shape)?;
    given.set_item("strides", strides)?;
    given.set_item("offset", info.offsets[0])?;
    given.set_item("buffer", Bound::new(py, HeldFrame(frame))?)?;
    given.set_item("dtype", numpy.getattr("uint8")?)?;
    numpy.getattr("ndarray")?.call((), Some(&given))
}

/// Its shape, and how many bytes lie between two of each axis. numpy itself sees to it that they stay within the buffer.
fn shape(info: &Info, length: usize) -> Result<(Vec<usize>, Vec<usize>), String> {
    let (width, height, stride) = (info.width as usize, info.height as usize, info.strides[0] as usize);
    let format = |format| info.format == Picture::format_code(format);
    if format(Format::Gray8) {
        Ok((vec![height, width], vec![stride, 1]))
    } else if format(Format::Rgb24) || format(Format::Bgr24) {
        Ok((vec![height, width, 3], vec![stride, 3, 1]))
    } else if format(Format::I420) && width % 2 == 0 && height % 2 == 0 && length == width * height * 3 / 2 {
        // The chroma planes, half as wide, two rows in each: as OpenCV has it.
        Ok((vec![height * 3 / 2, width], vec![width, 1]))
    } else if format(Format::I420) {
        Err(format!("a picture of {width}x{height} pixels has no i420: its sides must be even; ask for rgb24"))
    } else {
        Err(format!("a picture came in format {}, which isn't known: use one build for all", info.format))
    }
}
