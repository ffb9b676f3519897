//! A message as it came, for whoever takes it apart elsewhere.

use std::{
    cell::{Cell, RefCell},
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Packet;

/// A whole message that is neither encoded nor decoded here, in the place of a value: for a side with a codec of its own,
/// such as an interpreter. It stands for all of the message, so it is no field of another value: what is around it is lost.
///
/// ```
/// use shm::wire::{Packet, Raw};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let packet = Packet::encode(&("threshold", 0.5))?;
/// let raw: Raw = packet.decode()?;
/// assert_eq!(raw.as_packet().bytes, packet.bytes);
/// assert_eq!(Packet::encode(&raw)?.decode::<(String, f64)>()?, ("threshold".to_owned(), 0.5));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Raw(Arc<OnceLock<Packet>>);

thread_local! {
    /// The message that stands for what is being encoded on this thread.
    static LEAVING: RefCell<Option<Raw>> = const { RefCell::new(None) };
    /// What is to be given the message that is being decoded on this thread.
    static ARRIVED: Cell<Option<Raw>> = const { Cell::new(None) };
}

impl Raw {
    /// Wraps a message that is encoded already.
    #[must_use]
    pub fn new(packet: Packet) -> Self {
        Self(Arc::new(OnceLock::from(packet)))
    }

    /// The message.
    #[must_use]
    pub fn as_packet(&self) -> &Packet {
        // One that was decoded has been filled before anybody saw it.
        self.0.get_or_init(Packet::default)
    }

    /// The message, to keep; copied if there are clones.
    #[must_use]
    pub fn into_packet(self) -> Packet {
        match Arc::try_unwrap(self.0) {
            Ok(packet) => packet.into_inner().unwrap_or_default(),
            Err(shared) => shared.get().cloned().unwrap_or_default(),
        }
    }

    pub(super) fn fill(&self, packet: Packet) {
        let _ = self.0.set(packet); // a new one is empty
    }
}

/// Runs `encode` and gives the message that it is to be, if that was met.
pub(super) fn collecting<T>(encode: impl FnOnce() -> T) -> (T, Option<Packet>) {
    // What an outer message has met, should this one be encoded in the middle of it.
    let outer = LEAVING.take();
    let done = encode();
    (done, LEAVING.replace(outer).map(Raw::into_packet))
}

/// Runs `decode` and gives what wants the message.
pub(super) fn supplying<T>(decode: impl FnOnce() -> T) -> (T, Option<Raw>) {
    let outer = ARRIVED.take();
    let done = decode();
    (done, ARRIVED.replace(outer))
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LEAVING.replace(Some(self.clone()));
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        let raw = Self::default();
        ARRIVED.set(Some(raw.clone()));
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Passed;

    #[test]
    fn a_message_comes_as_it_went_with_its_descriptors() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let packet = Packet::encode(&("a file", Passed::new(file))).unwrap();
        let raw: Raw = packet.decode().unwrap();
        let again = Packet::encode(&raw).unwrap();
        assert_eq!((again.bytes.clone(), again.descriptors.len()), (packet.bytes, 1));
        let (name, _file): (String, Passed) = again.decode().unwrap();
        assert_eq!(name, "a file");
    }

    #[test]
    fn it_leaves_no_trace_for_the_next_message() {
        let raw = Raw::new(Packet::encode(&1).unwrap());
        Packet::encode(&raw).unwrap();
        assert_eq!(Packet::encode(&2).unwrap().decode::<i32>().unwrap(), 2);
        let _: Raw = Packet::encode(&3).unwrap().decode().unwrap();
        assert_eq!(Packet::encode(&4).unwrap().decode::<i32>().unwrap(), 4);
    }
}
