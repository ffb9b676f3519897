//! A half: an index of slots, and a log of entries. One of the two counts, the other is where the next one is built.
//!
//! ```text
//! 0    slots | tail | paid | len | live bytes | next order | used slots
//! 64   the index: a word a slot, 0 (never used), 1 (gone), or [tag: 16][where its entry is: 48]
//!      the log: entries one after the other, up to the tail; beyond it nothing is there
//!
//! entry:  length of the value | length of the key | hash | order | stamp | key | value     (each rounded up to 8 bytes)
//! ```
//!
//! A slot's word makes an entry real, and it is one store. What is before the tail and has no slot is garbage.

use super::{error::MapError, memory::Memory};
use crate::{
    crash,
    memory::Mapping,
    sync::{AtomicU64, Ordering},
};

pub(super) const SLOTS_AT: usize = 0;
pub(super) const TAIL_AT: usize = 8;
pub(super) const PAID_AT: usize = 16;
const LEN_AT: usize = 24;
const LIVE_AT: usize = 32;
pub(super) const NEXT_ORDER_AT: usize = 40;
const USED_AT: usize = 48;
pub(super) const INDEX_AT: usize = 64;
/// The fewest slots: half a kilobyte.
pub(super) const LEAST_SLOTS: usize = 64;

const ENTRY_HEAD: usize = 40;
const EMPTY: u64 = 0;
const GONE: u64 = 1;
const OFFSET_BITS: u32 = 48;

/// A half, checked: all that is read from its header lies inside of it.
pub(super) struct Half<'a> {
    memory: &'a Memory,
    at: usize,
    slots: usize,
    tail: usize,
    paid: usize,
}

/// An entry, checked: all of it lies before the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub at: usize,
    pub value_bytes: usize,
    pub key_bytes: usize,
    pub hash: u64,
    /// Entries come in this order. A new value keeps it.
    pub order: u64,
    /// The map's version when it was written: no two entries of a map ever have the same, but for those of one batch.
    pub stamp: u64,
}

/// Where a key is, or may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    slot: usize,
    is_fresh: bool,
    pub entry: Option<Entry>,
}

/// How many bytes an entry takes.
pub(super) fn entry_bytes(key: &[u8], value: &[u8]) -> usize {
    ENTRY_HEAD + key.len().next_multiple_of(8) + value.len().next_multiple_of(8)
}

/// Where the log begins, behind so many slots.
pub(super) fn log_at(slots: usize) -> usize {
    INDEX_AT + slots * 8
}

impl Entry {
    pub(super) fn bytes(&self) -> usize {
        self.value_at() - self.at + self.value_bytes.next_multiple_of(8)
    }

    fn key_at(&self) -> usize {
        self.at + ENTRY_HEAD
    }

    fn value_at(&self) -> usize {
        self.key_at() + self.key_bytes.next_multiple_of(8)
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.bytes()
    }
}

impl<'a> Half<'a> {
    /// Looks at a half; what its header says is an allegation.
    pub(super) fn open(memory: &'a Memory, half: usize) -> Result<Self, MapError> {
        let at = memory.half_at(half);
        let word = |offset| memory.mapping().word64(at + offset).load(Ordering::Relaxed);
        let inside = |offset| usize::try_from(word(offset)).ok().filter(|value| *value <= memory.half_bytes());
        let (slots, tail, paid) = match (inside(SLOTS_AT), inside(TAIL_AT), inside(PAID_AT)) {
            (Some(slots), Some(tail), Some(paid)) if slots.is_power_of_two() => (slots, tail, paid),
            _ => return Err(MapError::Broken("its header can't be")),
        };
        if !tail.is_multiple_of(8) || log_at(slots) > tail || tail > paid {
            return Err(MapError::Broken("its log can't be"));
        }
        Ok(Self { memory, at, slots, tail, paid })
    }

    /// The one that counts.
    pub(super) fn active(memory: &'a Memory) -> Result<Self, MapError> {
        Self::open(memory, memory.active())
    }

    /// Makes an empty one with so many slots, in memory that is paid for up to `paid`. It doesn't count yet.
    pub(super) fn make(memory: &'a Memory, half: usize, slots: usize, paid: usize) -> Self {
        let half = Self { memory, at: memory.half_at(half), slots, tail: log_at(slots), paid };
        for slot in 0..slots {
            half.slot(slot).store(EMPTY, Ordering::Relaxed);
        }
        crash::point();
        let words = [
            (SLOTS_AT, slots),
            (TAIL_AT, half.tail),
            (PAID_AT, paid),
            (LEN_AT, 0),
            (LIVE_AT, 0),
            (NEXT_ORDER_AT, 0),
            (USED_AT, 0),
        ];
        words.into_iter().for_each(|(at, value)| half.word(at).store(value as u64, Ordering::Relaxed));
        half
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    pub(super) fn tail(&self) -> usize {
        self.tail
    }

    pub(super) fn paid(&self) -> usize {
        self.paid
    }

    /// How many entries it has. An allegation, as the next two.
    pub(super) fn len(&self) -> usize {
        self.word(LEN_AT).load(Ordering::Relaxed) as usize
    }

    /// How many bytes those take.
    pub(super) fn live_bytes(&self) -> usize {
        self.word(LIVE_AT).load(Ordering::Relaxed) as usize
    }

    /// How many slots were used, with those whose entry is gone.
    pub(super) fn used(&self) -> usize {
        self.word(USED_AT).load(Ordering::Relaxed) as usize
    }

    /// How many bytes of its log nobody needs.
    pub(super) fn garbage(&self) -> usize {
        (self.tail - log_at(self.slots)).saturating_sub(self.live_bytes())
    }

    pub(super) fn word(&self, offset: usize) -> &'a AtomicU64 {
        self.mapping().word64(self.at + offset)
    }

    fn slot(&self, slot: usize) -> &'a AtomicU64 {
        self.word(INDEX_AT + slot * 8)
    }

    fn mapping(&self) -> &'a Mapping {
        self.memory.mapping()
    }

    /// The entry that is said to be there.
    pub(super) fn entry(&self, at: usize) -> Result<Entry, MapError> {
        const OUTSIDE: MapError = MapError::Broken("an entry lies outside of it");
        if !at.is_multiple_of(8)
            || at < log_at(self.slots)
            || at.checked_add(ENTRY_HEAD).is_none_or(|at| at > self.tail)
        {
            return Err(OUTSIDE);
        }
        let word = |index: usize| self.word(at + index * 8).load(Ordering::Relaxed);
        let left = self.tail - at - ENTRY_HEAD;
        let length = |index| usize::try_from(word(index)).ok().filter(|length| *length <= left);
        let (Some(value_bytes), Some(key_bytes)) = (length(0), length(1)) else { return Err(OUTSIDE) };
        if key_bytes.next_multiple_of(8) + value_bytes.next_multiple_of(8) > left {
            return Err(OUTSIDE);
        }
        Ok(Entry { at, value_bytes, key_bytes, hash: word(2), order: word(3), stamp: word(4) })
    }

    /// Looks for a key.
    pub(super) fn find(&self, key: &[u8], hash: u64) -> Result<Found, MapError> {
        let mut free = None;
        for slot in self.probe(hash) {
            match self.slot(slot).load(Ordering::Relaxed) {
                EMPTY => return Ok(Found { is_fresh: free.is_none(), slot: free.unwrap_or(slot), entry: None }),
                GONE => drop(free.get_or_insert(slot)),
                word if word >> OFFSET_BITS == hash >> OFFSET_BITS => {
                    let entry = self.entry(offset(word))?;
                    if entry.hash == hash && self.has_key(&entry, key) {
                        return Ok(Found { slot, is_fresh: false, entry: Some(entry) });
                    }
                }
                _ => {}
            }
        }
        let slot = free.ok_or(MapError::Broken("its index is full"))?;
        Ok(Found { slot, is_fresh: false, entry: None })
    }

    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let mask = self.slots - 1;
        (0..self.slots).map(move |turn| (hash as usize).wrapping_add(turn) & mask)
    }

    fn has_key(&self, entry: &Entry, key: &[u8]) -> bool {
        let word = |index: usize| self.word(entry.key_at() + index * 8).load(Ordering::Relaxed).to_ne_bytes();
        let (words, rest) = key.as_chunks::<8>();
        entry.key_bytes == key.len()
            && words.iter().enumerate().all(|(index, part)| word(index) == *part)
            && (rest.is_empty() || word(words.len())[..rest.len()] == *rest)
    }

    /// All entries, as the index has them.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<Entry, MapError>> {
        let words = (0..self.slots).map(|slot| self.slot(slot).load(Ordering::Relaxed));
        words.filter(|word| *word != EMPTY && *word != GONE).map(|word| self.entry(offset(word)))
    }

    pub(super) fn key_of(&self, entry: &Entry) -> Vec<u8> {
        self.copy_out(entry.key_at(), entry.key_bytes)
    }

    pub(super) fn value_of(&self, entry: &Entry) -> Vec<u8> {
        self.copy_out(entry.value_at(), entry.value_bytes)
    }

    fn copy_out(&self, at: usize, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.mapping().copy_out(self.at + at, &mut bytes);
        bytes
    }

    /// Writes an entry beyond the tail, for which there is room. Nothing of it is there yet. Gives what was written.
    pub(super) fn write(&self, at: usize, key: &[u8], value: &[u8], hash: u64, order: u64, stamp: u64) -> Entry {
        let entry = Entry { at, value_bytes: value.len(), key_bytes: key.len(), hash, order, stamp };
        let words = [value.len() as u64, key.len() as u64, hash, order, stamp];
        for (index, word) in words.into_iter().enumerate() {
            self.word(at + index * 8).store(word, Ordering::Relaxed);
        }
        crash::point();
        self.mapping().copy_in(self.at + entry.key_at(), key);
        crash::point();
        self.mapping().copy_in(self.at + entry.value_at(), value);
        crash::point();
        entry
    }

    /// Copies an entry of another half to beyond the tail, for which there is room.
    pub(super) fn copy(&self, at: usize, from: &Half<'_>, entry: &Entry) -> Entry {
        for offset in (0..entry.bytes()).step_by(8) {
            let word = from.word(entry.at + offset).load(Ordering::Relaxed);
            self.word(at + offset).store(word, Ordering::Relaxed);
        }
        // The lengths anew: those there may have changed since they were checked.
        self.word(at).store(entry.value_bytes as u64, Ordering::Relaxed);
        self.word(at + 8).store(entry.key_bytes as u64, Ordering::Relaxed);
        Entry { at, ..*entry }
    }

    /// What was written up to there isn't overwritten any more.
    pub(super) fn advance(&mut self, tail: usize) {
        // SYNC POINT J: as in `Memory::activate`.
        self.word(TAIL_AT).store(tail as u64, Ordering::Release);
        self.tail = tail;
    }

    /// More of it is paid for.
    pub(super) fn has_paid(&mut self, paid: usize) {
        self.word(PAID_AT).store(paid as u64, Ordering::Relaxed);
        self.paid = paid;
    }

    /// Makes an entry real that was written before the tail, in place of the one that was found.
    pub(super) fn publish(&self, found: &Found, entry: &Entry) {
        let tag = entry.hash >> OFFSET_BITS << OFFSET_BITS;
        // SYNC POINT J: as in `Memory::activate`.
        self.slot(found.slot).store(tag | entry.at as u64, Ordering::Release);
        crash::point();
        let old = found.entry.map_or(0, |old| old.bytes());
        let live = self.live_bytes().saturating_sub(old).saturating_add(entry.bytes());
        self.word(LIVE_AT).store(live as u64, Ordering::Relaxed);
        crash::point();
        if found.entry.is_none() {
            self.count(LEN_AT, 1);
        }
        if found.is_fresh {
            self.count(USED_AT, 1);
        }
        crash::point();
    }

    /// Takes an entry away that was found.
    pub(super) fn unpublish(&self, found: &Found) {
        // SYNC POINT J: as in `Memory::activate`.
        self.slot(found.slot).store(GONE, Ordering::Release);
        crash::point();
        let live = self.live_bytes().saturating_sub(found.entry.map_or(0, |old| old.bytes()));
        self.word(LIVE_AT).store(live as u64, Ordering::Relaxed);
        self.count(LEN_AT, -1);
        crash::point();
    }

    fn count(&self, at: usize, by: i64) {
        let word = self.word(at);
        word.store(word.load(Ordering::Relaxed).wrapping_add_signed(by), Ordering::Relaxed);
    }

    /// Puts an entry whose key isn't there into the index of a half that doesn't count yet.
    pub(super) fn enter(&self, entry: &Entry) -> Result<(), MapError> {
        let is_empty = |slot: &usize| self.slot(*slot).load(Ordering::Relaxed) == EMPTY;
        let slot = self.probe(entry.hash).find(is_empty).ok_or(MapError::Broken("its index is full"))?;
        self.publish(&Found { slot, is_fresh: true, entry: None }, entry);
        Ok(())
    }

    /// Counts anew what it has.
    pub(super) fn recount(&self) -> Result<(), MapError> {
        let (mut len, mut live) = (0, 0usize);
        for entry in self.entries() {
            len += 1;
            live = live.saturating_add(entry?.bytes());
        }
        let used = (0..self.slots).filter(|slot| self.slot(*slot).load(Ordering::Relaxed) != EMPTY).count();
        for (at, count) in [(LEN_AT, len), (LIVE_AT, live), (USED_AT, used)] {
            self.word(at).store(count as u64, Ordering::Relaxed);
            crash::point();
        }
        Ok(())
    }
}

fn offset(word: u64) -> usize {
    (word & ((1 << OFFSET_BITS) - 1)) as usize
}
