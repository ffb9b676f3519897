//! Objects of this library inside of a pickle: locks, queues, memory, the session of a ring.
//!
//! They have descriptors, which go beside the bytes of a message. So they can be pickled only while one is being made: then a
//! pickle has their number, and the message has them. It is the thread that makes a message; no other sees its objects.

use std::cell::RefCell;

use pyo3::{PyTypeInfo, prelude::*};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use shm::wire::{Packet, Passed};

use crate::error::Class;

/// Such an object in a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    bytes: ByteBuf,
    descriptors: Vec<Passed>,
}

thread_local! {
    static LEAVING: RefCell<Option<Vec<Piece>>> = const { RefCell::new(None) };
    static ARRIVED: RefCell<Option<Vec<Piece>>> = const { RefCell::new(None) };
}

/// Runs `pickle`, and gives the objects that it met.
pub(super) fn collecting<T>(pickle: impl FnOnce() -> PyResult<T>) -> PyResult<(T, Vec<Piece>)> {
    // A pickle can be made while another one is: put back what was there. No panic comes out of Python.
    let outer = LEAVING.replace(Some(Vec::new()));
    let pickled = pickle();
    let pieces = LEAVING.replace(outer).unwrap_or_default();
    Ok((pickled?, pieces))
}

/// Runs `unpickle` with the objects of its message at hand.
pub(super) fn supplying<T>(pieces: Vec<Piece>, unpickle: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let outer = ARRIVED.replace(Some(pieces));
    let made = unpickle();
    ARRIVED.set(outer);
    made
}

/// Runs `pickle` as if no message were being made: what it makes stays where it is put, and its objects couldn't come along.
pub(crate) fn apart<T>(pickle: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let outer = LEAVING.take();
    let pickled = pickle();
    LEAVING.set(outer);
    pickled
}

/// For a class's `__reduce__`: takes the object along, and gives its number.
///
/// # Errors
///
/// `PassingError` if no message is being made.
pub(crate) fn leave(what: &str, object: &impl Serialize) -> PyResult<usize> {
    if LEAVING.with_borrow(Option::is_none) {
        return Err(Class::PassingError.says(format!(
            "could not pickle a {what}: it has memory and descriptors that can only go to another process in a message; put \
             it into a framewire queue, a call, or the arguments of a framewire process"
        )));
    }
    let packet = Packet::encode(object).map_err(|error| Class::PassingError.could_not(error))?;
    let piece = Piece { bytes: ByteBuf::from(packet.bytes), descriptors: packet.descriptors };
    Ok(LEAVING.with_borrow_mut(|leaving| {
        let leaving = leaving.get_or_insert_default();
        leaving.push(piece);
        leaving.len() - 1
    }))
}

/// For a `__reduce__` that would make an object of `T` at the other end, and not of `T`'s subclass.
///
/// # Errors
///
/// `PassingError` if it is of a subclass.
pub(crate) fn refuse_subclass<T: PyTypeInfo>(object: &Bound<'_, PyAny>) -> PyResult<()> {
    if object.is_exact_instance_of::<T>() {
        return Ok(());
    }
    let (class, base) = (object.get_type().name()?.to_string(), object.py().get_type::<T>().name()?.to_string());
    Err(Class::PassingError.says(format!(
        "could not pickle a {class}: it would arrive as a framewire.{base}, without what {class} has of its own; let {class} \
         have the {base} as an attribute instead of being one"
    )))
}

/// For the function that `__reduce__` named: the object of that number.
///
/// # Errors
///
/// `CodecError` if it isn't there, or is something else.
pub(crate) fn arrive<T: DeserializeOwned>(what: &str, number: usize) -> PyResult<T> {
    let piece = ARRIVED.with_borrow(|arrived| arrived.as_ref()?.get(number).cloned());
    let Some(Piece { bytes, descriptors }) = piece else {
        return Err(Class::CodecError.says(format!("could not receive a {what}: it didn't come with the message")));
    };
    let packet = Packet { bytes: bytes.into_vec(), descriptors };
    packet.decode().map_err(|error| Class::CodecError.could_not(error))
}
