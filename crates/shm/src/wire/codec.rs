//! Values to packets and back.

use rmp_serde::config::BytesMode;
use serde::{Serialize, de::DeserializeOwned};

use super::{Passed, passed};

/// An encoded message: bytes, and the descriptors that go beside them.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    /// MessagePack, structs as maps with their field names.
    pub bytes: Vec<u8>,
    /// In the order in which the bytes name them.
    pub descriptors: Vec<Passed>,
}

/// A value has no encoding.
#[derive(Debug, thiserror::Error)]
#[error("encode a {what} as a message: {source}")]
pub struct EncodeError {
    what: &'static str,
    source: rmp_serde::encode::Error,
}

/// What arrived isn't what was expected.
#[derive(Debug, thiserror::Error)]
#[error("read a message of {bytes} bytes as a {what}: {source}")]
pub struct DecodeError {
    what: &'static str,
    bytes: usize,
    source: rmp_serde::decode::Error,
}

impl Packet {
    /// Encodes `value`, collecting every [`Passed`] in it.
    ///
    /// # Errors
    ///
    /// If its `Serialize` fails, such as for a map with keys that are no strings.
    ///
    /// ```
    /// use shm::wire::Packet;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let packet = Packet::encode(&("threshold", 0.5))?;
    /// assert_eq!(packet.decode::<(String, f64)>()?, ("threshold".to_owned(), 0.5));
    /// assert!(packet.decode::<Vec<bool>>().is_err());
    /// # Ok(()) }
    /// ```
    pub fn encode<T: Serialize>(value: &T) -> Result<Self, EncodeError> {
        let (bytes, descriptors) = passed::collecting(|| encode(value));
        let bytes = bytes.map_err(|source| EncodeError { what: std::any::type_name::<T>(), source })?;
        Ok(Self { bytes, descriptors })
    }

    /// Decodes a value, handing out the descriptors that it names. Those that it doesn't name close.
    ///
    /// # Errors
    ///
    /// If the bytes are something else, or name a descriptor that didn't come.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        passed::supplying(self.descriptors.clone(), || rmp_serde::from_slice(&self.bytes))
            .map_err(|source| DecodeError { what: std::any::type_name::<T>(), bytes: self.bytes.len(), source })
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = Vec::with_capacity(128);
    // A `Vec<u8>` as the bytes that it is, which Python reads as such, and not as an array of numbers.
    let serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
    value.serialize(&mut serializer.with_bytes(BytesMode::ForceIterables))?;
    Ok(bytes)
}
