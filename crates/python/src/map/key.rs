//! Keys: bytes that are the same if, and only if, the keys are equal to Python, in every process.
//!
//! A hash or a pickle isn't that: the former differs from process to process, the latter from object to object.
//!
//! ```text
//! n              None              s text           str (UTF-8)        i digits    int, and what equals one: True, 2.0
//! b bytes        bytes             f 8 bytes        float              t (length: 4, key)…      tuple
//! ```

use pyo3::{
    exceptions::{PyRecursionError, PyTypeError},
    prelude::*,
    types::{PyBytes, PyFloat, PyInt, PyString, PyTuple},
};

use crate::error::Class;

/// How deep tuples may be in each other: whoever needs more has something else in mind, and the stack ends somewhere.
const MAX_DEPTH: usize = 100;

pub(super) fn encode(key: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut bytes = Vec::with_capacity(32);
    encode_onto(&mut bytes, key, MAX_DEPTH)?;
    Ok(bytes)
}

fn encode_onto(bytes: &mut Vec<u8>, key: &Bound<'_, PyAny>, depth: usize) -> PyResult<()> {
    if let Ok(text) = key.cast::<PyString>() {
        bytes.push(b's');
        bytes.extend_from_slice(text.to_str()?.as_bytes());
    } else if key.is_instance_of::<PyInt>() {
        bytes.push(b'i');
        match key.extract::<i64>() {
            Ok(number) => bytes.extend_from_slice(number.to_string().as_bytes()),
            // As `int` itself writes it, whatever its subclass says.
            Err(_) => {
                let digits = key.py().get_type::<PyInt>().call_method1("__repr__", (key,))?;
                bytes.extend_from_slice(digits.cast::<PyString>()?.to_str()?.as_bytes());
            }
        }
    } else if let Ok(bytes_key) = key.cast::<PyBytes>() {
        bytes.push(b'b');
        bytes.extend_from_slice(bytes_key.as_bytes());
    } else if let Ok(number) = key.cast::<PyFloat>() {
        let value = number.value();
        if value.is_finite() && value.fract() == 0.0 {
            return encode_onto(bytes, &number.call_method0("__int__")?, depth);
        }
        bytes.push(b'f');
        bytes.extend_from_slice(&value.to_be_bytes());
    } else if key.is_none() {
        bytes.push(b'n');
    } else if let Ok(keys) = key.cast::<PyTuple>() {
        if depth == 0 {
            let text = format!("could not use a key of tuples more than {MAX_DEPTH} deep in each other");
            return Err(PyRecursionError::new_err(text));
        }
        bytes.push(b't');
        for key in keys {
            let start = bytes.len();
            bytes.extend_from_slice(&[0; 4]);
            encode_onto(bytes, &key, depth - 1)?;
            let length = (bytes.len() - start - 4) as u32; // a longer one fits into no map
            bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        }
    } else {
        return Err(PyTypeError::new_err(format!(
            "could not use a {} as a key that processes share: only str, int, float, bytes, None, and tuples of these are \
             equal in all of them",
            key.get_type().name()?
        )));
    }
    Ok(())
}

/// The key of such bytes.
pub(super) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode_within(py, bytes, MAX_DEPTH)
}

fn decode_within<'py>(py: Python<'py>, bytes: &[u8], depth: usize) -> PyResult<Bound<'py, PyAny>> {
    let Some((kind, rest)) = bytes.split_first() else { return Err(broken()) };
    match kind {
        b's' => Ok(PyString::new(py, std::str::from_utf8(rest).map_err(|_| broken())?).into_any()),
        b'b' => Ok(PyBytes::new(py, rest).into_any()),
        b'n' => Ok(py.None().into_bound(py)),
        b'f' => Ok(PyFloat::new(py, f64::from_be_bytes(rest.try_into().map_err(|_| broken())?)).into_any()),
        b'i' => {
            let digits = std::str::from_utf8(rest).map_err(|_| broken())?;
            match digits.parse::<i64>() {
                Ok(number) => Ok(number.into_pyobject(py)?.into_any()),
                Err(_) => py.get_type::<PyInt>().call1((digits,)),
            }
        }
        b't' if depth > 0 => {
            let (mut keys, mut rest) = (Vec::new(), rest);
            while let Some((length, more)) = rest.split_first_chunk::<4>() {
                let key = more.split_at_checked(u32::from_le_bytes(*length) as usize);
                let (key, more) = key.ok_or_else(broken)?;
                keys.push(decode_within(py, key, depth - 1)?);
                rest = more;
            }
            Ok(PyTuple::new(py, keys)?.into_any())
        }
        _ => Err(broken()),
    }
}

fn broken() -> PyErr {
    Class::CodecError.says("could not read a key that processes share: another program wrote it".to_owned())
}
