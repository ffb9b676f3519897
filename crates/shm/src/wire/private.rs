//! A blob as its receiver may change it.

use std::{io, ptr::NonNull};

use serde::{Deserialize, Deserializer, de};

use super::blob::Told;
use crate::memory::{Mapping, MemoryError};

/// The bytes of a [`Blob`](super::Blob), received so that they can be changed: changes are this process's own, and cost a copy of
/// the page that they are in (copy on write). In the message it is a `Blob`, which the sender makes.
///
/// ```
/// use shm::wire::{Blob, Packet, Private};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let packet = Packet::encode(&Blob::new(&[7; 100_000])?)?;
/// let mut ours: Private = packet.decode()?;
/// ours.bytes_mut()[1] = 8;
/// let theirs: Blob = packet.decode()?;
/// assert_eq!((ours.bytes_mut()[..3].to_vec(), &theirs[..3]), (vec![7, 8, 7], &[7, 7, 7][..]));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Private(Option<Mapping>);

impl Private {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Mapping::len)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            None => &mut [],
            // SAFETY: a private mapping is this process's alone, and `&mut self` is the only way to it that makes references.
            // What it doesn't own yet comes from memory that is sealed against writing.
            Some(mapping) => unsafe { mapping.bytes_mut(0, mapping.len()) },
        }
    }

    /// Where they begin: page-aligned, and valid for as long as this value. For those who lend them out by other rules than
    /// Rust's.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.0.as_ref().map_or(NonNull::dangling(), Mapping::start)
    }
}

impl<'de> Deserialize<'de> for Private {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let open = |(memory, length)| {
            super::blob::check_fixed(&memory, length)?;
            Mapping::private(memory, length)
        };
        let memory = Told::deserialize(deserializer)?.checked()?;
        memory.map(open).transpose().map(Self).map_err(|error: MemoryError| de::Error::custom(io::Error::other(error)))
    }
}
