//! Values to packets and back.

use rmp_serde::config::BytesMode;
use serde::{Serialize, de::DeserializeOwned};

use super::{Passed, passed, raw};

/// How deep a message may be nested, as in `serde_json`. Each level costs stack, of an unoptimised build some kilobytes; the
/// decoder's own 1024 overflow a thread's usual 2 MiB, and that can't be caught.
const MAX_DEPTH: usize = 128;

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
        let mut bytes = Vec::with_capacity(128);
        let descriptors = encode_onto(&mut bytes, value)?;
        Ok(Self { bytes, descriptors })
    }

    /// Decodes a value, handing out the descriptors that it names. Those that it doesn't name close.
    ///
    /// # Errors
    ///
    /// If the bytes are something else, name a descriptor that didn't come, or are nested more than 128 deep.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        decode_from(&self.bytes, self.descriptors.clone())
    }
}

/// As [`Packet::encode`], at the end of bytes that are there already. What was encoded before an error stays there.
pub(crate) fn encode_onto<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<Vec<Passed>, EncodeError> {
    let start = bytes.len();
    let ((encoded, whole), descriptors) = passed::collecting(|| raw::collecting(|| encode(bytes, value)));
    match (encoded, whole) {
        (Ok(()), None) => Ok(descriptors),
        (Ok(()), Some(whole)) => {
            bytes.truncate(start);
            bytes.extend_from_slice(&whole.bytes);
            Ok(whole.descriptors)
        }
        (Err(source), _) => Err(EncodeError { what: std::any::type_name::<T>(), source }),
    }
}

/// As [`Packet::decode`].
pub(crate) fn decode_from<T: DeserializeOwned>(bytes: &[u8], descriptors: Vec<Passed>) -> Result<T, DecodeError> {
    let decode = || {
        let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
        decoder.set_max_depth(MAX_DEPTH);
        T::deserialize(&mut decoder)
    };
    let (decoded, whole) = raw::supplying(|| passed::supplying(descriptors.clone(), decode));
    if let Some(whole) = whole {
        whole.fill(Packet { bytes: bytes.to_vec(), descriptors });
    }
    decoded.map_err(|source| DecodeError { what: std::any::type_name::<T>(), bytes: bytes.len(), source })
}

fn encode<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<(), rmp_serde::encode::Error> {
    // A `Vec<u8>` as the bytes that it is, which Python reads as such, and not as an array of numbers.
    let serializer = rmp_serde::Serializer::new(bytes).with_struct_map();
    value.serialize(&mut serializer.with_bytes(BytesMode::ForceIterables))
}
