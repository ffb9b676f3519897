//! An object's bytes in an arena: how they are taken, found again, and given back.

use std::ptr::NonNull;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    Arena, ArenaError,
    layout::{ALIGNMENT, BLOCK_HEAD_BYTES, BLOCKS_AT, FREED, FREED_AT, NEXT_AT},
};
use crate::{
    crash,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// A block's head: how many bytes it has, and what they are; 0 for nothing.
const SIZE_AT: usize = 0;
const KIND_AT: usize = 8;

/// The bytes of one object. Offsets are from its begin, which is aligned to [`ALIGNMENT`].
#[derive(Clone, Debug)]
pub(crate) struct Place {
    arena: Arena,
    offset: usize,
    bytes: usize,
}

impl Arena {
    /// Takes `bytes` zeroed bytes for an object of `kind` (not 0), aligned to [`ALIGNMENT`]. It takes no lock: who is
    /// killed in here costs the arena at most the block, until the arena goes.
    ///
    /// Fill them before anybody else hears of the place: that an object is whole is told with its address.
    pub(crate) fn allocate(&self, kind: u32, bytes: usize) -> Result<Place, ArenaError> {
        self.born().check()?;
        let taken =
            bytes.max(1).checked_next_multiple_of(ALIGNMENT).and_then(|bytes| bytes.checked_add(BLOCK_HEAD_BYTES));
        let full = |free_bytes| ArenaError::Full {
            asked_bytes: bytes.saturating_add(BLOCK_HEAD_BYTES),
            free_bytes,
            bytes: self.bytes(),
        };
        let taken = taken.ok_or_else(|| full(self.free_bytes()))?;
        let head = match self.reuse(taken) {
            Some(head) => head,
            None => self.take_next(taken).map_err(full)?,
        };
        crash::point();
        self.mapping().word64(head + SIZE_AT).store(bytes as u64, Ordering::Relaxed);
        crash::point();
        // SYNC POINT K: whoever finds this kind (Acquire in `open`) also finds the size.
        self.mapping().word32(head + KIND_AT).store(kind, Ordering::Release);
        crash::point();
        Ok(Place { arena: self.clone(), offset: head + BLOCK_HEAD_BYTES, bytes })
    }

    /// Finds an object of which another process told: `offset` is an allegation, and must be one of `kind` that has at
    /// least `min_bytes`.
    pub(crate) fn open(&self, offset: u64, kind: u32, min_bytes: usize) -> Result<Place, ArenaError> {
        self.born().check()?;
        let wrong = ArenaError::Alleged("it has no such object there");
        let end = self.bytes();
        let offset = usize::try_from(offset).ok().filter(|offset| offset.is_multiple_of(ALIGNMENT) && *offset <= end);
        let head = offset.and_then(|offset| offset.checked_sub(BLOCK_HEAD_BYTES)).filter(|head| *head >= BLOCKS_AT);
        let (Some(offset), Some(head)) = (offset, head) else { return Err(wrong) };
        // SYNC POINT K.
        let found = self.mapping().word32(head + KIND_AT).load(Ordering::Acquire);
        let bytes =
            usize::try_from(self.mapping().word64(head + SIZE_AT).load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if found != kind || kind == 0 || bytes < min_bytes || bytes > end - offset {
            return Err(wrong);
        }
        Ok(Place { arena: self.clone(), offset, bytes })
    }

    /// Gives an object's bytes back, for the next one of the same size. The caller knows that nobody uses it any more, in
    /// any process.
    #[cfg_attr(not(test), expect(dead_code, reason = "for objects that end before their arena: those of a queue"))]
    pub(crate) fn free(&self, place: Place) {
        if !self.born().is_here() {
            return;
        }
        let head = place.offset - BLOCK_HEAD_BYTES;
        let taken = place.bytes.max(1).next_multiple_of(ALIGNMENT) + BLOCK_HEAD_BYTES;
        self.mapping().word32(head + KIND_AT).store(0, Ordering::Relaxed);
        crash::point();
        let entry = (head / ALIGNMENT) as u64 | ((taken / ALIGNMENT) as u64) << 32;
        for freed in self.freed() {
            // SYNC POINT F: our last use of the block comes before the next one's first.
            if freed.compare_exchange(0, entry, Ordering::Release, Ordering::Relaxed).is_ok() {
                return;
            }
        }
        // More were freed than are remembered: this one is lost until the arena goes.
    }

    /// How many bytes have never been taken. Each object takes 128 more than its size, which is rounded up to 128.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.bytes().saturating_sub(self.next().load(Ordering::Relaxed) as usize)
    }

    fn reuse(&self, taken: usize) -> Option<usize> {
        for freed in self.freed() {
            let entry = freed.load(Ordering::Relaxed);
            if entry >> 32 != (taken / ALIGNMENT) as u64 {
                continue;
            }
            let head = (entry & u64::from(u32::MAX)) as usize * ALIGNMENT;
            if head < BLOCKS_AT || head.checked_add(taken).is_none_or(|end| end > self.bytes()) {
                continue; // an allegation
            }
            // SYNC POINT F.
            if freed.compare_exchange(entry, 0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                for word in (head + BLOCK_HEAD_BYTES..head + taken).step_by(8) {
                    self.mapping().word64(word).store(0, Ordering::Relaxed);
                }
                return Some(head);
            }
        }
        None
    }

    /// The begin of bytes that nobody has had before; if there are too few, how many there are.
    fn take_next(&self, taken: usize) -> Result<usize, usize> {
        let next = self.next();
        let mut head = next.load(Ordering::Relaxed);
        loop {
            let free = if head.is_multiple_of(ALIGNMENT as u64) && head >= BLOCKS_AT as u64 {
                self.bytes().saturating_sub(usize::try_from(head).unwrap_or(usize::MAX))
            } else {
                0 // an allegation
            };
            if taken > free {
                return Err(free);
            }
            let after = head + taken as u64;
            match next.compare_exchange_weak(head, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(head as usize),
                Err(now) => head = now,
            }
        }
    }

    fn next(&self) -> &AtomicU64 {
        self.mapping().word64(NEXT_AT)
    }

    fn freed(&self) -> impl Iterator<Item = &AtomicU64> {
        (0..FREED).map(|index| self.mapping().word64(FREED_AT + index * 8))
    }
}

impl Place {
    /// The arena that it is in.
    #[inline]
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Its size.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The word at `at` bytes.
    ///
    /// # Panics
    ///
    /// If it isn't aligned or doesn't lie inside.
    #[inline]
    pub(crate) fn word32(&self, at: usize) -> &AtomicU32 {
        assert!(at + 4 <= self.bytes, "no 32-bit word at {at} of {} bytes", self.bytes);
        self.arena.mapping().word32(self.offset + at)
    }

    /// As [`word32`](Self::word32).
    #[inline]
    pub(crate) fn word64(&self, at: usize) -> &AtomicU64 {
        assert!(at + 8 <= self.bytes, "no 64-bit word at {at} of {} bytes", self.bytes);
        self.arena.mapping().word64(self.offset + at)
    }

    /// The bytes from `at`.
    ///
    /// # Panics
    ///
    /// If they don't lie inside.
    ///
    /// # Safety
    ///
    /// Nobody, in any process, writes them while the slice lives.
    pub(crate) unsafe fn slice(&self, at: usize, length: usize) -> &[u8] {
        assert!(at.checked_add(length).is_some_and(|end| end <= self.bytes), "bytes outside of their place");
        // SAFETY: not written meanwhile, by this function's contract.
        unsafe { self.arena.mapping().bytes(self.offset + at, length) }
    }

    /// The bytes from `at`, to fill.
    ///
    /// # Panics
    ///
    /// If they don't lie inside.
    ///
    /// # Safety
    ///
    /// Nobody else, in any process, reads or writes them while the slice lives.
    #[expect(clippy::mut_from_ref, reason = "exclusive by the contract")]
    pub(crate) unsafe fn bytes_mut(&self, at: usize, length: usize) -> &mut [u8] {
        assert!(at.checked_add(length).is_some_and(|end| end <= self.bytes), "bytes outside of their place");
        // SAFETY: exclusive by this function's contract.
        unsafe { self.arena.mapping().bytes_mut(self.offset + at, length) }
    }

    /// Where it begins.
    pub(crate) fn start(&self) -> NonNull<u8> {
        // An object's place lies inside of its arena's mapping.
        self.arena.mapping().start().map_addr(|at| at.saturating_add(self.offset))
    }

    /// Copies bytes out of it, which others may be writing meanwhile. `at` is a multiple of 8.
    ///
    /// # Panics
    ///
    /// If they don't lie inside.
    pub(crate) fn copy_out(&self, at: usize, into: &mut [u8]) {
        assert!(at.checked_add(into.len()).is_some_and(|end| end <= self.bytes), "bytes outside of their place");
        self.arena.mapping().copy_out(self.offset + at, into);
    }

    /// Copies bytes into it, which others may be reading meanwhile. `at` is a multiple of 8.
    ///
    /// # Panics
    ///
    /// If they don't lie inside.
    pub(crate) fn copy_in(&self, at: usize, from: &[u8]) {
        assert!(at.checked_add(from.len()).is_some_and(|end| end <= self.bytes), "bytes outside of their place");
        self.arena.mapping().copy_in(self.offset + at, from);
    }

    /// Where its byte `at` is in the arena.
    pub(crate) fn offset_of(&self, at: usize) -> usize {
        self.offset + at
    }

    /// Where it is, for a message.
    pub(crate) fn address(&self) -> Address {
        Address { arena: self.arena.clone(), offset: self.offset as u64 }
    }
}

/// A place on its way to another process. `address.arena.open(address.offset, …)` makes it a place again.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    /// The arena, which the message takes along.
    pub arena: Arena,
    /// An allegation, until it is opened.
    pub offset: u64,
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.arena, self.offset).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (arena, offset) = Deserialize::deserialize(deserializer)?;
        Ok(Self { arena, offset })
    }
}

impl Address {
    /// The object of which a message told; see [`Arena::open`].
    pub(crate) fn open<E: de::Error>(&self, kind: u32, min_bytes: usize) -> Result<Place, E> {
        self.arena.open(self.offset, kind, min_bytes).map_err(|error| E::custom(format_args!("could not {error}")))
    }
}
