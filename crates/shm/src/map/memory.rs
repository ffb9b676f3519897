//! Where a map stands: a few words in an arena, and memory of its own that is paid for as it fills.
//!
//! ```text
//! arena:   0    what it is, its halves' size, its limit, the keys of its hashes, its number: written once
//!          128  active half | version | a batch that is being published: its begin, its end
//!          256  bell: what sleepers sleep on
//! memory:  0    its number          (a page)
//!          4096 the first half, and then the second: `half.rs`
//! ```
//!
//! All of it is read and written under the map's lock, but for the version and the bell.

use std::os::fd::AsFd;

use rustix::rand::{GetRandomFlags, getrandom};

use super::error::MapError;
use crate::{
    arena::{Arena, Place},
    memory::{self, Mapping, MemoryError, Sealing},
    sync::{AtomicU32, AtomicU64, Ordering},
    wire::Passed,
};

/// A map's kind, as the arena records it, with the version of this layout.
pub(super) const KIND: u32 = u32::from_le_bytes(*b"MAP\x01");

const HALF_BYTES_AT: usize = 8;
const LIMIT_AT: usize = 16;
const HASH_KEYS_AT: [usize; 2] = [24, 32];
const NUMBER_AT: usize = 40;
const ACTIVE_AT: usize = 128;
const VERSION_AT: usize = 136;
const BATCH_START_AT: usize = 144;
const BATCH_END_AT: usize = 152;
const BELL_AT: usize = 256;
pub(super) const ROOT_BYTES: usize = 264;

const PAGE: usize = 4096;
/// What each half has at least, once it was used: room for some hundred small entries. Four pages more would be seen in `top`
/// by who has thousands of maps, and four fewer save nobody anything.
pub(super) const LEAST_PAID: usize = 4 * PAGE;
/// A half that isn't used any more keeps its memory if it is this small: to take and give it costs three system calls each time.
pub(super) const KEPT_BYTES: usize = 256 * 1024;
/// So does one of up to this size if the next one is as large: a picture that is set again and again would otherwise have its
/// pages taken, cleared and given back each second time, which costs several times as much as to copy it.
pub(super) const MOST_KEPT_BYTES: usize = 16 << 20;
/// One small entry has to fit.
pub(super) const LEAST_LIMIT: usize = PAGE;
/// As for arenas. The halves are addresses only, until they are paid for; a process has 128 TiB of these.
pub(super) const MOST_LIMIT: usize = 512 << 30;

/// A map's memory, in this process.
#[derive(Debug)]
pub(super) struct Memory {
    root: Place,
    mapping: Mapping,
    descriptor: Passed,
    half_bytes: usize,
    limit_bytes: usize,
    hash_keys: [u64; 2],
}

impl Memory {
    /// Makes one, in which both halves are empty, and the first has its memory.
    pub(super) fn create(arena: &Arena, limit_bytes: usize) -> Result<Self, MapError> {
        arena.born().check()?;
        if !(LEAST_LIMIT..=MOST_LIMIT).contains(&limit_bytes) {
            return Err(MapError::Limit(limit_bytes));
        }
        let half_bytes = half_bytes_for(limit_bytes);
        let bytes = PAGE + 2 * half_bytes;
        let (mapping, descriptor) =
            memory::create_partly("framewire-map", bytes, PAGE + LEAST_PAID, Sealing::ManyWriters)?;
        let root = arena.allocate(KIND, ROOT_BYTES)?;
        let [number, hash_keys @ ..] = random()?;
        let written = [
            (HALF_BYTES_AT, half_bytes as u64),
            (LIMIT_AT, limit_bytes as u64),
            (HASH_KEYS_AT[0], hash_keys[0]),
            (HASH_KEYS_AT[1], hash_keys[1]),
            (NUMBER_AT, number),
        ];
        written.into_iter().for_each(|(at, value)| root.word64(at).store(value, Ordering::Relaxed));
        mapping.word64(0).store(number, Ordering::Relaxed);
        Ok(Self { root, mapping, descriptor: Passed::new(descriptor), half_bytes, limit_bytes, hash_keys })
    }

    /// Finds one of which another process told. What it told is an allegation.
    pub(super) fn open(root: Place, descriptor: Passed) -> Result<Self, MapError> {
        let word = |at| root.word64(at).load(Ordering::Relaxed);
        let alleged = |at| usize::try_from(word(at)).unwrap_or(usize::MAX);
        let (half_bytes, limit_bytes) = (alleged(HALF_BYTES_AT), alleged(LIMIT_AT));
        let fits = (LEAST_LIMIT..=MOST_LIMIT).contains(&limit_bytes) && half_bytes == half_bytes_for(limit_bytes);
        if !fits {
            return Err(MapError::Broken("its sizes can't be"));
        }
        let mapping = Mapping::read_write_as_it_comes(&descriptor, PAGE + 2 * half_bytes)?;
        if mapping.word64(0).load(Ordering::Relaxed) != word(NUMBER_AT) {
            return Err(MapError::Broken("the memory that came with it is another map's"));
        }
        let hash_keys = HASH_KEYS_AT.map(word);
        Ok(Self { root, mapping, descriptor, half_bytes, limit_bytes, hash_keys })
    }

    pub(super) fn root(&self) -> &Place {
        &self.root
    }

    pub(super) fn descriptor(&self) -> &Passed {
        &self.descriptor
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// How much all entries may take.
    pub(super) fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// How many addresses each half has.
    pub(super) fn half_bytes(&self) -> usize {
        self.half_bytes
    }

    /// Where a half begins in the mapping.
    pub(super) fn half_at(&self, half: usize) -> usize {
        PAGE + (half & 1) * self.half_bytes
    }

    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        siphasher::sip::SipHasher13::new_with_keys(self.hash_keys[0], self.hash_keys[1]).hash(key)
    }

    /// The half that counts.
    pub(super) fn active(&self) -> usize {
        self.root.word64(ACTIVE_AT).load(Ordering::Relaxed) as usize & 1
    }

    /// Makes another half the one that counts: everything in it is there from now on, and nothing that is in the other.
    pub(super) fn activate(&self, half: usize) {
        // SYNC POINT J: who takes over from us, should we die, finds the half as we left it (Acquire of the lock).
        self.root.word64(ACTIVE_AT).store(half as u64, Ordering::Release);
    }

    /// How often it was changed.
    pub(super) fn version(&self) -> &AtomicU64 {
        self.root.word64(VERSION_AT)
    }

    pub(super) fn bell(&self) -> &AtomicU32 {
        self.root.word32(BELL_AT)
    }

    /// Where the bell is in the arena.
    pub(super) fn bell_offset(&self) -> usize {
        self.root.offset_of(BELL_AT)
    }

    /// The begin and the end of entries that are being published together; begin 0: none.
    pub(super) fn batch(&self) -> (&AtomicU64, &AtomicU64) {
        (self.root.word64(BATCH_START_AT), self.root.word64(BATCH_END_AT))
    }

    /// Pays for the bytes from `from` to `to` of a half.
    pub(super) fn pay(&self, half: usize, from: usize, to: usize) -> Result<(), MemoryError> {
        let at = self.half_at(half);
        let paid = memory::reserve(self.descriptor.as_fd(), at + from, at + to);
        if paid.is_err() {
            // It may have been paid for in part, which nobody would know.
            let _ = memory::give_back(self.descriptor.as_fd(), at + from.next_multiple_of(PAGE), at + to);
        }
        paid
    }

    /// Gives the memory of a half from `from` on back to the system: it reads as zeros from now on. That it can't be given
    /// back is no harm, but for the memory.
    pub(super) fn give_back(&self, half: usize, from: usize) {
        let at = self.half_at(half);
        let _ = memory::give_back(self.descriptor.as_fd(), at + from.next_multiple_of(PAGE), at + self.half_bytes);
    }
}

/// Twice the limit: the index of the smallest entries, with its slots half empty, is nearly as large as they are.
fn half_bytes_for(limit_bytes: usize) -> usize {
    2 * limit_bytes.next_multiple_of(PAGE) + LEAST_PAID
}

fn random() -> Result<[u64; 3], MapError> {
    let mut bytes = [0; 24];
    let failed = |source: rustix::io::Errno| MemoryError::System { call: "name", bytes: 24, source: source.into() };
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(failed)?;
    let (words, _) = bytes.as_chunks::<8>();
    Ok([words[0], words[1], words[2]].map(u64::from_ne_bytes))
}
