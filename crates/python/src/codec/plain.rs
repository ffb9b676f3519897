//! Plain values, which every language knows.

use std::fmt;

use pyo3::{
    exceptions::PyRecursionError,
    prelude::*,
    types::{PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap,
};
use serde_bytes::{ByteBuf, Bytes};

use super::pickled::{EXTENSION, Message, Pickled};
use crate::error::Class;

/// As deep as `shm::wire` decodes.
const MAX_DEPTH: usize = 120;

/// Up to how many characters or bytes a single value is small.
const SMALL: usize = 1024;

/// So many of them, each of four bytes a character at most, are less than what goes as memory of its own.
const FEW: u32 = 16;

#[derive(Debug)]
pub(super) enum Plain {
    Nothing,
    Bool(bool),
    Int(i64),
    /// Beyond an `i64`.
    Unsigned(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Plain>),
    Map(Vec<(String, Plain)>),
    /// Only received: what is sent is all of one kind.
    Pickled(Box<Pickled>),
}

impl Plain {
    pub(super) fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::within(object, MAX_DEPTH)
    }

    /// The value, if it is a single one of exactly a type that a message has, and small: no list, and of no subclass.
    pub(super) fn single(object: &Bound<'_, PyAny>) -> Option<Self> {
        if object.is_none() {
            Some(Self::Nothing)
        } else if let Ok(value) = object.cast_exact::<PyInt>() {
            value.extract().ok().map(Self::Int)
        } else if let Ok(value) = object.cast_exact::<PyBool>() {
            Some(Self::Bool(value.is_true()))
        } else if let Ok(value) = object.cast_exact::<PyFloat>() {
            Some(Self::Float(value.value()))
        } else if let Ok(text) = object.cast_exact::<PyString>() {
            let is_small = text.len().is_ok_and(|length| length <= SMALL);
            // One with a lone surrogate is no text to others.
            is_small.then(|| text.to_cow().ok()).flatten().map(|text| Self::Text(text.into_owned()))
        } else if let Ok(bytes) = object.cast_exact::<PyBytes>() {
            (bytes.as_bytes().len() <= SMALL).then(|| Self::Bytes(bytes.as_bytes().to_vec()))
        } else {
            None
        }
    }

    /// Whether it is made of few single values: then nothing of it goes beside the message, and a pickler needn't ask.
    pub(super) fn is_small(object: &Bound<'_, PyAny>) -> bool {
        Self::is_of_at_most(object, &mut { FEW }, 3)
    }

    fn is_of_at_most(object: &Bound<'_, PyAny>, few: &mut u32, depth: u32) -> bool {
        *few = few.saturating_sub(1);
        if *few == 0 || depth == 0 {
            return false;
        }
        let is_single = |object: &Bound<'_, PyAny>| {
            object.is_none()
                || object.is_exact_instance_of::<PyInt>()
                || object.is_exact_instance_of::<PyFloat>()
                || object.is_exact_instance_of::<PyBool>()
                || object.cast_exact::<PyString>().is_ok_and(|text| text.len().is_ok_and(|length| length <= SMALL))
                || object.cast_exact::<PyBytes>().is_ok_and(|bytes| bytes.as_bytes().len() <= SMALL)
        };
        if is_single(object) {
            true
        } else if let Ok(items) = object.cast_exact::<PyTuple>() {
            items.iter().all(|item| Self::is_of_at_most(&item, few, depth - 1))
        } else if let Ok(items) = object.cast_exact::<PyList>() {
            items.iter().all(|item| Self::is_of_at_most(&item, few, depth - 1))
        } else if let Ok(items) = object.cast_exact::<PyDict>() {
            items.iter().all(|(key, value)| is_single(&key) && Self::is_of_at_most(&value, few, depth - 1))
        } else {
            false
        }
    }

    fn within(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Self> {
        if depth == 0 {
            return Err(PyRecursionError::new_err(format!(
                "could not encode a message: it is nested more than {MAX_DEPTH} deep, or contains itself"
            )));
        }
        let list = |items: Vec<Bound<'_, PyAny>>| {
            items.iter().map(|item| Self::within(item, depth - 1)).collect::<PyResult<_>>().map(Self::List)
        };
        if object.is_none() {
            Ok(Self::Nothing)
        } else if let Ok(value) = object.cast::<PyBool>() {
            Ok(Self::Bool(value.is_true()))
        } else if object.is_instance_of::<PyInt>() {
            let signed = object.extract().map(Self::Int);
            signed.or_else(|_| object.extract().map(Self::Unsigned)).map_err(|_| {
                Class::CodecError.says(format!("could not encode the int {object}: a message has 64 bits for one"))
            })
        } else if let Ok(value) = object.cast::<PyFloat>() {
            Ok(Self::Float(value.value()))
        } else if let Ok(text) = object.cast::<PyString>() {
            Ok(Self::Text(text.to_cow()?.into_owned()))
        } else if let Ok(bytes) = object.cast::<PyBytes>() {
            Ok(Self::Bytes(bytes.as_bytes().to_vec()))
        } else if let Ok(bytes) = object.cast::<PyByteArray>() {
            Ok(Self::Bytes(bytes.to_vec()))
        } else if let Ok(items) = object.cast::<PyList>() {
            list(items.iter().collect())
        } else if let Ok(items) = object.cast::<PyTuple>() {
            list(items.iter().collect())
        } else if let Ok(items) = object.cast::<PyDict>() {
            let item = |(key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
                let Ok(key) = key.cast::<PyString>() else {
                    return Err(Class::CodecError.says(format!(
                        "could not encode a dict with the key {}: in a message, keys are str",
                        key.repr()?
                    )));
                };
                Ok((key.to_cow()?.into_owned(), Self::within(&value, depth - 1)?))
            };
            items.iter().map(item).collect::<PyResult<_>>().map(Self::Map)
        } else {
            Err(Class::CodecError.says(format!(
                "could not encode a {}: a message to another language has None, bool, int, float, str, bytes, list and \
                 dict; make one of those of it (an array has `.tobytes()` and `.tolist()`)",
                object.get_type().fully_qualified_name()?
            )))
        }
    }

    pub(super) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        Ok(match self {
            Self::Nothing => py.None().into_bound(py),
            Self::Bool(value) => PyBool::new(py, value).to_owned().into_any(),
            Self::Int(value) => value.into_pyobject(py)?.into_any(),
            Self::Unsigned(value) => value.into_pyobject(py)?.into_any(),
            Self::Float(value) => PyFloat::new(py, value).into_any(),
            Self::Text(text) => PyString::new(py, &text).into_any(),
            Self::Bytes(bytes) => PyBytes::new(py, &bytes).into_any(),
            Self::List(items) => {
                let items = items.into_iter().map(|item| item.into_object(py)).collect::<PyResult<Vec<_>>>()?;
                PyList::new(py, items)?.into_any()
            }
            Self::Map(items) => {
                let map = PyDict::new(py);
                for (key, value) in items {
                    map.set_item(key, value.into_object(py)?)?;
                }
                map.into_any()
            }
            Self::Pickled(pickled) => pickled.into_object(py)?,
        })
    }
}

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => Bytes::new(bytes).serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(items) => {
                let mut map = serializer.serialize_map(Some(items.len()))?;
                for (key, value) in items {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Pickled(pickled) => pickled.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value or a pickled one")
    }

    fn visit_unit<E>(self) -> Result<Plain, E> {
        Ok(Plain::Nothing)
    }

    fn visit_none<E>(self) -> Result<Plain, E> {
        Ok(Plain::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Plain, D::Error> {
        Plain::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Plain, E> {
        Ok(Plain::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Plain, E> {
        Ok(Plain::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Plain, E> {
        Ok(i64::try_from(value).map_or(Plain::Unsigned(value), Plain::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Plain, E> {
        Ok(Plain::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Plain, E> {
        Ok(Plain::Text(text.to_owned()))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Plain, E> {
        Ok(Plain::Bytes(bytes.to_vec()))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Plain, E> {
        Ok(Plain::Bytes(bytes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let mut list = Vec::new(); // what the sender says of its length is an allegation
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Plain::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let mut map = Vec::new();
        while let Some(item) = items.next_entry()? {
            map.push(item);
        }
        Ok(Plain::Map(map))
    }

    /// An extension.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Plain, D::Error> {
        let (kind, bytes) = <(i8, ByteBuf)>::deserialize(deserializer)?;
        if kind != EXTENSION {
            return Err(de::Error::custom(format_args!("a MessagePack extension of type {kind}, which isn't known")));
        }
        let message: Message<_> = rmp_serde::from_slice(&bytes).map_err(de::Error::custom)?;
        Ok(Plain::Pickled(Box::new(Pickled::Arrived(message))))
    }
}
