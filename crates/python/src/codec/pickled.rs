//! A pickled object, with its large buffers and its shared objects beside it.

use std::sync::Arc;

use pyo3::{
    buffer::PyUntypedBuffer,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBytes, PyDict, PyList},
};
use serde::{Deserialize, Serialize, Serializer, ser};
use serde_bytes::{ByteBuf, Bytes};
use shm::wire::{Blob, Private};

use super::{
    lent::Lent,
    passing::{self, Piece},
    plain::Plain,
};
use crate::error::{self, Class};

/// The MessagePack extension that a pickle is.
pub(super) const EXTENSION: i8 = 80;

/// The first with buffers that may go beside the pickle.
const PROTOCOL: u8 = 5;

/// From what size on a buffer goes as memory of its own, and so isn't copied by the receiver. Below, a mapping costs more than
/// the copy.
const LARGE_BYTES: usize = 64 * 1024;

/// Where each buffer begins in that memory: as numpy likes it, and the widest registers.
const ALIGNMENT: usize = 64;

/// What pickles instead of `pickle.dumps`, if anything.
static OTHER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// From now on messages are pickled by this function, called as `pickle.dumps`; for what knows how to send more than that.
#[pyfunction]
pub(super) fn pickle_by(py: Python<'_>, dumps: Py<PyAny>) {
    let _ = OTHER.set(py, dumps); // the first one stays
}

#[derive(Debug)]
pub(super) enum Pickled {
    Leaving(Message<Blob>),
    Arrived(Message<Private>),
}

/// What stands in the extension, as a list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message<C> {
    /// `None`: it is the last piece of the memory.
    pickle: Option<ByteBuf>,
    /// How long each piece in the memory is, in order. Each begins at a multiple of 64.
    lengths: Vec<u64>,
    /// The memory, if somebody may want to change what is in it: the receiver's changes are its own.
    changeable: Option<C>,
    /// The memory, if nobody does.
    fixed: Option<Blob>,
    objects: Vec<Piece>,
}

impl Pickled {
    pub(super) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = object.py();
        if OTHER.get(py).is_none() && Plain::is_small(object) {
            let pickle = DUMPS.import(py, "pickle", "dumps")?.call1((object, PROTOCOL))?.cast_into::<PyBytes>()?;
            return Ok(Self::inline(&pickle, Vec::new()));
        }
        let large = Bound::new(py, Large { taken: PyList::empty(py).unbind() })?;
        let options = PyDict::new(py);
        options.set_item("protocol", PROTOCOL)?;
        options.set_item("buffer_callback", &large)?;
        let dumps = match OTHER.get(py) {
            Some(other) => other.bind(py),
            None => DUMPS.import(py, "pickle", "dumps")?,
        };
        let (pickle, objects) = passing::collecting(|| dumps.call((object,), Some(&options)))?;
        let pickle = pickle.cast_into::<PyBytes>()?;
        let taken = large.get().taken.bind(py);
        let buffers = taken.iter().map(|buffer| PyUntypedBuffer::get(&buffer)).collect::<PyResult<Vec<_>>>()?;
        let inline = pickle.as_bytes().len() <= LARGE_BYTES;
        if inline && buffers.is_empty() {
            return Ok(Self::inline(&pickle, objects));
        }
        // SAFETY: a contiguous buffer (the callback saw to that) that stays where it is while `buffers` has it.
        let as_bytes = |buffer: &PyUntypedBuffer| unsafe {
            std::slice::from_raw_parts(buffer.buf_ptr().cast_const().cast::<u8>(), buffer.len_bytes())
        };
        let mut pieces: Vec<&[u8]> = buffers.iter().map(as_bytes).collect();
        if !inline {
            pieces.push(pickle.as_bytes());
        }
        let lengths = pieces.iter().map(|piece| piece.len() as u64).collect();
        // Other threads may write the buffers meanwhile: only the kernel reads them, and sends what it finds.
        let memory = py.detach(|| Blob::gather(&padded(&pieces))).map_err(|error| error::memory(&error))?;
        let pickle = inline.then(|| ByteBuf::from(pickle.as_bytes()));
        let is_changeable = buffers.iter().any(|buffer| !buffer.readonly());
        let (changeable, fixed) = if is_changeable { (Some(memory), None) } else { (None, Some(memory)) };
        Ok(Self::Leaving(Message { pickle, lengths, changeable, fixed, objects }))
    }

    /// One without memory of its own.
    fn inline(pickle: &Bound<'_, PyBytes>, objects: Vec<Piece>) -> Self {
        let pickle = Some(ByteBuf::from(pickle.as_bytes()));
        Self::Leaving(Message { pickle, lengths: Vec::new(), changeable: None, fixed: None, objects })
    }

    pub(super) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let Self::Arrived(message) = self else {
            return Err(Class::CodecError.says("could not unpickle an object that hasn't been sent".to_owned()));
        };
        let memory = match (message.changeable, message.fixed) {
            (Some(private), _) => Some(Memory::Private(private)),
            (None, fixed) => fixed.map(Memory::Fixed),
        };
        let mut pieces = lend(py, memory, &message.lengths)?;
        let pickle = match message.pickle {
            Some(pickle) => PyBytes::new(py, &pickle).into_any(),
            None => pieces.pop().ok_or_else(|| broken("it has no pickle"))?.into_any(),
        };
        let loads = LOADS.import(py, "pickle", "loads")?;
        passing::supplying(message.objects, || {
            if pieces.is_empty() {
                return loads.call1((pickle,));
            }
            let options = PyDict::new(py);
            options.set_item("buffers", pieces)?;
            loads.call((pickle,), Some(&options))
        })
    }
}

impl Serialize for Pickled {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Leaving(message) = self else { return Err(ser::Error::custom("a pickle that was received")) };
        // In here, descriptors find the message around this one.
        let bytes = rmp_serde::to_vec(message).map_err(ser::Error::custom)?;
        serializer.serialize_newtype_struct(rmp_serde::MSGPACK_EXT_STRUCT_NAME, &(EXTENSION, Bytes::new(&bytes)))
    }
}

/// Takes what is worth memory of its own.
#[pyclass(frozen)]
struct Large {
    taken: Py<PyList>,
}

#[pymethods]
impl Large {
    /// Pickle asks whether to have the buffer inside.
    fn __call__(&self, buffer: &Bound<'_, PyAny>) -> PyResult<bool> {
        let view = PyUntypedBuffer::get(buffer)?;
        if view.len_bytes() <= LARGE_BYTES || !(view.is_c_contiguous() || view.is_fortran_contiguous()) {
            return Ok(true);
        }
        self.taken.bind(buffer.py()).append(buffer)?;
        Ok(false)
    }
}

fn padded<'a>(pieces: &[&'a [u8]]) -> Vec<&'a [u8]> {
    const ZEROS: &[u8] = &[0; ALIGNMENT];
    pieces.iter().flat_map(|piece| [*piece, &ZEROS[..padding(piece.len())]]).collect()
}

fn padding(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT) - length
}

enum Memory {
    Private(Private),
    Fixed(Blob),
}

/// The pieces of a memory, as Python has them: any of them keeps all.
fn lend<'py>(py: Python<'py>, memory: Option<Memory>, lengths: &[u64]) -> PyResult<Vec<Bound<'py, Lent>>> {
    let Some(memory) = memory else {
        return if lengths.is_empty() { Ok(Vec::new()) } else { Err(broken("its memory is missing")) };
    };
    let (start, total, writable) = match &memory {
        Memory::Private(private) => (private.start(), private.len(), true),
        Memory::Fixed(blob) => (std::ptr::NonNull::from(&**blob).cast(), blob.len(), false),
    };
    let memory = Arc::new(memory);
    let mut at = 0;
    let lend = |length: &u64| {
        let length = usize::try_from(*length).ok().filter(|length| *length <= total - at);
        let length = length.ok_or_else(|| broken("its memory is smaller than its pieces"))?;
        // SAFETY: inside of `memory`, as just checked, which keeps it mapped and makes no more references to it.
        let lent = unsafe { Lent::new(start.add(at), length, writable, Arc::clone(&memory)) };
        at = at.saturating_add(length).saturating_add(padding(length)).min(total);
        Bound::new(py, lent)
    };
    lengths.iter().map(lend).collect()
}

fn broken(why: &str) -> PyErr {
    Class::CodecError.says(format!("could not unpickle what was received: {why}"))
}
