//! Python objects in messages between processes.
//!
//! Between Pythons they are pickled (protocol 5); on the wire that is a MessagePack extension of type 80, so that a receiver can
//! tell. For others they are plain MessagePack. Either may stand anywhere in a message: [`Value`] is a field like any other.

mod descriptor;
pub(crate) mod lent;
pub(crate) mod passing;
mod pickled;
mod plain;

use pyo3::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shm::wire::Packet;

use self::{pickled::Pickled, plain::Plain};
use crate::error::Class;

/// How an object goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// To another Python: anything that can be pickled, and what this library shares (locks, queues, …).
    Pickle,
    /// To anybody: `None`, bool, int of 64 bits, float, str, bytes, list, and dict with keys that are str.
    MessagePack,
}

/// An object on its way, which needs no interpreter meanwhile: it can be encoded, sent, received and decoded without the GIL.
#[derive(Debug)]
pub(crate) struct Value(Form);

#[derive(Debug)]
enum Form {
    Pickled(Pickled),
    Plain(Plain),
}

impl Value {
    /// Makes one of an object.
    pub(crate) fn of(object: &Bound<'_, PyAny>, codec: Codec) -> PyResult<Self> {
        Ok(Self(match codec {
            // What a message can say itself needs no pickle, and is the same object at the other end.
            Codec::Pickle => match Plain::single(object) {
                Some(plain) => Form::Plain(plain),
                None => Form::Pickled(Pickled::of(object)?),
            },
            Codec::MessagePack => Form::Plain(Plain::of(object)?),
        }))
    }

    /// Leaves nothing in its place.
    pub(crate) fn take(&mut self) -> Self {
        Self(std::mem::replace(&mut self.0, Form::Plain(Plain::Nothing)))
    }

    /// Makes the object again.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self.0 {
            Form::Pickled(pickled) => pickled.into_object(py),
            Form::Plain(plain) => plain.into_object(py),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Pickled(pickled) => pickled.serialize(serializer),
            Form::Plain(plain) => plain.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Plain::deserialize(deserializer).map(|plain| match plain {
            Plain::Pickled(pickled) => Self(Form::Pickled(*pickled)),
            plain => Self(Form::Plain(plain)),
        })
    }
}

/// What the codec itself shows to Python.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<descriptor::Descriptor>()?;
    module.add_function(wrap_pyfunction!(pickled::pickle_by, module)?)
}

/// Makes a message that is nothing but this object.
pub(crate) fn dumps(object: &Bound<'_, PyAny>, codec: Codec) -> PyResult<Packet> {
    Packet::encode(&Value::of(object, codec)?).map_err(|error| Class::CodecError.could_not(error))
}

/// Makes the object of such a message.
pub(crate) fn loads(py: Python<'_>, packet: Packet) -> PyResult<Bound<'_, PyAny>> {
    let value: Value = py.detach(|| packet.decode()).map_err(|error| Class::CodecError.could_not(error))?;
    value.into_object(py)
}
