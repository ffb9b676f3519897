//! Many bytes as a field of a message, copied once.

use std::{io, ops::Deref, os::fd::OwnedFd, sync::Arc};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create},
    io::Errno,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{MAX_MESSAGE_BYTES, Passed};
use crate::memory::{Budget, Mapping, MemoryError};

/// Bytes that nobody can change any more, and that travel as memory of their own: the sender copies them once into a sealed
/// memfd, and whoever receives them maps that. A `Vec<u8>` in a message is copied four times; from some 100 KB on this
/// is faster, and at 100 MB by a factor.
///
/// Clones are the same memory. Each takes one of the 253 descriptors of a message.
///
/// ```
/// use shm::wire::{Blob, Packet};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let blob = Blob::new(&[7; 100_000])?;
/// let packet = Packet::encode(&("picture", &blob))?;
/// assert!(packet.bytes.len() < 100, "the bytes themselves are beside the message");
/// let (name, received): (String, Blob) = packet.decode()?;
/// assert_eq!((name.as_str(), &received[..]), ("picture", &[7; 100_000][..]));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Blob(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    memory: Passed,
    mapping: Mapping,
}

/// As it stands in the message.
#[derive(Serialize, Deserialize)]
pub(super) struct Told {
    length: u64,
    memory: Option<Passed>,
}

impl Told {
    /// The memory and how long it is, unless it is empty.
    pub(super) fn checked<E: de::Error>(self) -> Result<Option<(Passed, usize)>, E> {
        let length = usize::try_from(self.length).ok().filter(|length| *length <= MAX_MESSAGE_BYTES * 16);
        let length = length.ok_or_else(|| E::custom("a blob longer than any may be"))?;
        match self.memory {
            None if length == 0 => Ok(None),
            None => Err(E::custom("a blob without its memory")),
            Some(memory) => Ok(Some((memory, length))),
        }
    }
}

/// Refuses memory that somebody could still change.
pub(super) fn check_fixed(memory: &Passed, length: usize) -> Result<(), MemoryError> {
    let system = |source: Errno| MemoryError::System { call: "inspect", bytes: length, source: source.into() };
    if fcntl_get_seals(memory).map_err(system)?.contains(FIXED) {
        Ok(())
    } else {
        Err(MemoryError::Alleged { bytes: length, why: "it isn't sealed against writing" })
    }
}

/// Seals memory of which nobody else knows yet.
///
/// The kernel refuses that while a page is used otherwise, as somebody might be writing it. Here that is the kernel itself: what it has
/// just moved in order to have larger pieces free (compaction) waits in a list of one processor's. It waits 160 ms for
/// the end of that by itself, and empties these lists at the beginning of each try, so the second one succeeds: seen once in
/// some 3,000 blobs of 6 MB.
fn seal(memory: &OwnedFd) -> Result<(), Errno> {
    const TRIES: u32 = 10;
    for _ in 1..TRIES {
        match fcntl_add_seals(memory, FIXED | SealFlags::SEAL) {
            Err(Errno::BUSY) => {}
            done => return done,
        }
    }
    fcntl_add_seals(memory, FIXED | SealFlags::SEAL)
}

/// Nobody, in any process, can write it or change its size.
const FIXED: SealFlags = SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW);

impl Blob {
    /// Copies these bytes into memory of their own.
    ///
    /// # Errors
    ///
    /// [`MemoryError`] if there isn't enough, or the process has no descriptor left.
    pub fn new(bytes: &[u8]) -> Result<Self, MemoryError> {
        Self::gather(&[bytes])
    }

    /// As [`new`](Self::new), of several pieces one behind the other.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn gather(pieces: &[&[u8]]) -> Result<Self, MemoryError> {
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        if bytes == 0 {
            return Ok(Self(None));
        }
        let failed = |call| move |source: Errno| MemoryError::System { call, bytes, source: source.into() };
        Budget::now().check(bytes as u64)?;
        let memory = memfd_create("framewire-blob", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(failed("create"))?;
        // Written, not mapped and filled: the kernel then takes each page without zeroing it first, and the seal against
        // writing, which it refuses while a writable mapping exists, can be set at once.
        for mut left in pieces.iter().copied() {
            while !left.is_empty() {
                match rustix::io::write(&memory, left) {
                    Ok(count) => left = &left[count..],
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(failed("fill")(errno)),
                }
            }
        }
        seal(&memory).map_err(failed("seal"))?;
        // All of it is there already.
        let mapping = Mapping::read_only_as_it_comes(&memory, bytes)?;
        Ok(Self(Some(Arc::new(Inner { memory: Passed::new(memory), mapping }))))
    }

    fn open(memory: Passed, length: usize) -> Result<Self, MemoryError> {
        check_fixed(&memory, length)?;
        let mapping = Mapping::read_only(&memory, length)?;
        Ok(Self(Some(Arc::new(Inner { memory, mapping }))))
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some(inner) = &self.0 else { return &[] };
        // SAFETY: `new` set and `open` saw the seal against writing, which can't be taken away, and which the kernel gives only while
        // nobody has a writable mapping: nobody writes these bytes any more.
        unsafe { inner.mapping.bytes(0, inner.mapping.len()) }
    }
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let memory = self.0.as_ref().map(|inner| inner.memory.clone());
        Told { length: self.len() as u64, memory }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Some((memory, length)) = Told::deserialize(deserializer)?.checked()? else { return Ok(Self(None)) };
        Self::open(memory, length).map_err(|error| de::Error::custom(io::Error::other(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Packet, Socket};

    #[test]
    fn a_blob_arrives_as_it_was_and_nobody_can_change_it() {
        let (one, other) = Socket::pair().unwrap();
        for size in [0, 1, 4096, 1_000_001] {
            let bytes: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            let blob = Blob::new(&bytes).unwrap();
            one.send(&Packet::encode(&blob).unwrap()).unwrap();
            let received: Blob = other.receive().unwrap().decode().unwrap();
            assert!(blob[..] == bytes[..] && received[..] == bytes[..], "{size} bytes");
            if let Some(inner) = &received.0 {
                assert!(rustix::io::write(&inner.memory, b"x").is_err());
                assert!(Mapping::read_write(&inner.memory, size).is_err());
            }
        }
    }

    #[test]
    fn memory_that_could_change_is_refused() {
        let open = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::io::write(&open, b"hello").unwrap();
        fcntl_add_seals(&open, SealFlags::SHRINK).unwrap();
        let told = Told { length: 5, memory: Some(Passed::new(open)) };
        let refused = Packet::encode(&told).unwrap().decode::<Blob>().unwrap_err().to_string();
        assert!(refused.contains("sealed against writing"), "{refused}");
        let told = Told { length: 5, memory: None };
        assert!(Packet::encode(&told).unwrap().decode::<Blob>().is_err());
    }
}
