//! Messages from one process to one other, through memory that both map: no system call while both are at work.
//!
//! A lane is a ring of bytes with one [`Writer`] and one [`Reader`]. What was written stays there when its writer has
//! died, and what the reader has begun can be told from what it hasn't when *it* has: each message has a state that the
//! reader changes before it looks at the content, and that the writer can change first, to take the message back.
//!
//! Neither side trusts the other: lengths and positions that can't be are [`Broken`], never an access outside.
//!
//! ```
//! use shm::lane::{Entry, Lane};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (ours, memory) = Lane::create(4096)?;
//! let mut reader = Lane::open(memory, 4096)?.reader(); // usually in another process
//! let mut writer = ours.writer();
//! let first = writer.push(Entry { id: 1, ..Entry::default() }, b"one")?.ok_or("full")?;
//! let second = writer.push(Entry { id: 2, ..Entry::default() }, b"two")?.ok_or("full")?;
//! assert!(writer.take_back(second), "nobody has begun it");
//! let mut body = Vec::new();
//! assert_eq!(reader.begin(&mut body)?.map(|entry| entry.id), Some(1));
//! assert_eq!(body, b"one");
//! assert!(!writer.take_back(first), "too late");
//! reader.finish();
//! assert!(reader.begin(&mut body)?.is_none());
//! # Ok(()) }
//! ```

use std::os::fd::{AsFd, OwnedFd};

use crate::{
    memory::{self, Mapping, MemoryError, Sealing},
    sync::{Ordering, fence},
};

/// Words ever written; the writer's.
const HEAD: usize = 0;
/// Words ever freed; the reader's. On a cache line of its own.
const TAIL: usize = 64;
/// How deeply the reader sleeps; both write it.
const SLEEP: usize = 128;
/// Where messages begin: a page on, so that the ring's size is a whole number of pages too.
const DATA: usize = 4096;

/// Before each body: length and tag, state, id, note.
const HEADER_WORDS: u64 = 4;

const WAITING: u64 = 0;
const BEGUN: u64 = 1;
const TAKEN_BACK: u64 = 2;

/// What stands beside a message's bytes. The lane gives no meaning to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Which message it is.
    pub id: u64,
    /// What kind of message.
    pub tag: u32,
    /// Anything else.
    pub note: u64,
}

/// Where a message stands in its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position(u64);

/// How deeply a reader sleeps, and so what it takes to make it look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Sleep {
    /// It will look by itself.
    Awake = 0,
    /// It will look by itself before long; waking it may wait until it is worth its while.
    Napping = 1,
    /// It looks only if it is woken.
    Asleep = 2,
}

/// The other side has written what no lane can hold.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("use a lane of messages: the other side has spoiled it ({0})")]
pub struct Broken(&'static str);

/// The memory of a lane, before it is decided which end this is. One process is the [`writer`](Self::writer), one the
/// [`reader`](Self::reader).
#[derive(Debug)]
pub struct Lane {
    mapping: Mapping,
    words: u64,
}

/// The writing end.
#[derive(Debug)]
pub struct Writer {
    lane: Lane,
    head: u64,
    /// As it was when room was last short.
    tail: u64,
}

/// The reading end.
#[derive(Debug)]
pub struct Reader {
    lane: Lane,
    /// Up to where it has begun.
    position: u64,
}

impl Lane {
    /// Makes a lane with room for `bytes` (rounded up to a power of two), and the descriptor with which another process
    /// [opens](Self::open) it.
    ///
    /// # Errors
    ///
    /// If memory or descriptors are used up.
    pub fn create(bytes: usize) -> Result<(Self, OwnedFd), MemoryError> {
        let bytes = ring_bytes(bytes);
        let (mapping, memory) = memory::create("framewire-lane", DATA + bytes, Sealing::ManyWriters)?;
        Ok((Self { mapping, words: bytes as u64 / 8 }, memory))
    }

    /// Maps a lane that another process made with the same `bytes`.
    ///
    /// # Errors
    ///
    /// If it isn't one.
    pub fn open(memory: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        let bytes = ring_bytes(bytes);
        Ok(Self { mapping: Mapping::read_write(memory, DATA + bytes)?, words: bytes as u64 / 8 })
    }

    /// The writing end of a new lane.
    #[must_use]
    pub fn writer(self) -> Writer {
        Writer { lane: self, head: 0, tail: 0 }
    }

    /// The reading end of a new lane.
    #[must_use]
    pub fn reader(self) -> Reader {
        Reader { lane: self, position: 0 }
    }

    /// The word at a position, which counts on and on. Masking keeps it inside whatever it is.
    fn word(&self, position: u64) -> &crate::sync::AtomicU64 {
        self.mapping.word64(DATA + (position & (self.words - 1)) as usize * 8)
    }
}

fn ring_bytes(bytes: usize) -> usize {
    bytes.next_power_of_two().max(4096)
}

fn words_of(body_bytes: usize) -> u64 {
    HEADER_WORDS + body_bytes.div_ceil(8) as u64
}

impl Writer {
    /// Whether a body of so many bytes has room now, beside `reserve` further empty ones.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn has_room(&mut self, body_bytes: usize, reserve: u64) -> Result<bool, Broken> {
        let wanted = words_of(body_bytes) + reserve * HEADER_WORDS;
        if self.lane.words - (self.head - self.tail) >= wanted {
            return Ok(true);
        }
        // SYNC POINT L2, with `Reader::free`: what it has read is read before it is written again.
        let tail = self.lane.mapping.word64(TAIL).load(Ordering::Acquire);
        if tail < self.tail || tail > self.head {
            return Err(Broken("it has freed what wasn't written"));
        }
        self.tail = tail;
        Ok(self.lane.words - (self.head - tail) >= wanted)
    }

    /// Writes a message; `None` if there is no room for it now. The reader sees it at once if it is awake; ask
    /// [`reader`](Self::reader) whether it is.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn push(&mut self, entry: Entry, body: &[u8]) -> Result<Option<Position>, Broken> {
        let Some(length) = u32::try_from(body.len()).ok() else { return Ok(None) };
        if !self.has_room(body.len(), 0)? {
            return Ok(None);
        }
        let (at, lane) = (self.head, &self.lane);
        lane.word(at).store(u64::from(length) | u64::from(entry.tag) << 32, Ordering::Relaxed);
        lane.word(at + 1).store(WAITING, Ordering::Relaxed);
        lane.word(at + 2).store(entry.id, Ordering::Relaxed);
        lane.word(at + 3).store(entry.note, Ordering::Relaxed);
        let (whole, rest) = body.as_chunks::<8>();
        for (word, place) in whole.iter().zip(at + HEADER_WORDS..) {
            lane.word(place).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            lane.word(at + HEADER_WORDS + whole.len() as u64).store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        self.head = at + words_of(body.len());
        // SYNC POINT L1, with `Reader::begin`: whoever sees the new head sees the message.
        lane.mapping.word64(HEAD).store(self.head, Ordering::Release);
        Ok(Some(Position(at)))
    }

    /// Takes a message back. `false` if the reader has begun it, or done it long ago.
    #[must_use]
    pub fn take_back(&self, position: Position) -> bool {
        // One of two compare-and-swaps on this word wins; the other is in `Reader::begin`. Nothing else depends on it.
        let state = self.lane.word(position.0 + 1);
        position.0 >= self.tail
            && state.compare_exchange(WAITING, TAKEN_BACK, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How deeply the reader sleeps, after what was pushed last.
    #[must_use]
    pub fn reader(&self) -> Sleep {
        // SYNC POINT L3, with `Reader::sleep`: either this sees the sleep, or the sleeper sees the new head.
        fence(Ordering::SeqCst);
        match self.lane.mapping.word64(SLEEP).load(Ordering::Relaxed) {
            0 => Sleep::Awake,
            1 => Sleep::Napping,
            _ => Sleep::Asleep,
        }
    }

    /// Marks the reader as woken. `true`: it slept, and whoever called this must now ring its bell.
    #[must_use = "a reader that isn't rung for sleeps on"]
    pub fn wake(&self) -> bool {
        self.lane.mapping.word64(SLEEP).swap(Sleep::Awake as u64, Ordering::Relaxed) != Sleep::Awake as u64
    }
}

impl Reader {
    /// Begins the next message: copies it into `body`, in place of what was there. From now on it can't be taken back,
    /// and it is seen as begun should this process die before [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn begin(&mut self, body: &mut Vec<u8>) -> Result<Option<Entry>, Broken> {
        loop {
            let at = self.position;
            // SYNC POINT L1, with `Writer::push`.
            let written = self.lane.mapping.word64(HEAD).load(Ordering::Acquire).wrapping_sub(at);
            if written == 0 {
                return Ok(None);
            }
            let first = self.lane.word(at).load(Ordering::Relaxed);
            let (length, tag) = (first as u32 as usize, (first >> 32) as u32);
            if written > self.lane.words || words_of(length) > written {
                return Err(Broken("a message is longer than what was written"));
            }
            self.position = at + words_of(length);
            let state = self.lane.word(at + 1);
            if state.compare_exchange(WAITING, BEGUN, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                self.finish();
                continue;
            }
            // Whoever looks at our remains must see this before anything that handling the message may do. A kill
            // loses no store that came before it in the program, so the compiler is all that has to be kept in order.
            std::sync::atomic::compiler_fence(Ordering::SeqCst);
            body.clear();
            body.reserve(length + 7);
            for place in at + HEADER_WORDS..self.position {
                body.extend_from_slice(&self.lane.word(place).load(Ordering::Relaxed).to_ne_bytes());
            }
            body.truncate(length);
            let word = |offset| self.lane.word(at + offset).load(Ordering::Relaxed);
            return Ok(Some(Entry { id: word(2), tag, note: word(3) }));
        }
    }

    /// The message that was begun last is done with; its room is the writer's again.
    pub fn finish(&mut self) {
        // SYNC POINT L2, with `Writer::has_room`.
        self.lane.mapping.word64(TAIL).store(self.position, Ordering::Release);
    }

    /// Says that this reader is about to sleep. `false`: it mustn't, there is a message.
    #[must_use = "a message may be there already"]
    pub fn sleep(&self, how: Sleep) -> bool {
        self.lane.mapping.word64(SLEEP).store(how as u64, Ordering::Relaxed);
        // SYNC POINT L3, with `Writer::reader`.
        fence(Ordering::SeqCst);
        let nothing = self.lane.mapping.word64(HEAD).load(Ordering::Relaxed) == self.position;
        if !nothing {
            self.awake();
        }
        nothing
    }

    /// Says that this reader looks by itself again.
    pub fn awake(&self) {
        self.lane.mapping.word64(SLEEP).store(Sleep::Awake as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(bytes: usize) -> (Writer, Reader) {
        let (ours, memory) = Lane::create(bytes).unwrap();
        (ours.writer(), Lane::open(memory, bytes).unwrap().reader())
    }

    fn entry(id: u64) -> Entry {
        Entry { id, tag: 7, note: !id }
    }

    #[test]
    fn messages_of_any_size_cross_in_order_while_both_run() {
        let (mut writer, mut reader) = both(4096);
        let body = |id: u64| vec![id as u8; (id * 37 % 900) as usize];
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for id in 0..100_000 {
                    while writer.push(entry(id), &body(id)).unwrap().is_none() {
                        std::thread::yield_now();
                    }
                }
            });
            let mut read = Vec::new();
            for id in 0..100_000 {
                let came = loop {
                    match reader.begin(&mut read).unwrap() {
                        Some(came) => break came,
                        None => std::thread::yield_now(),
                    }
                };
                reader.finish();
                assert_eq!((came, &read), (entry(id), &body(id)));
            }
        });
    }

    #[test]
    fn each_message_is_begun_or_taken_back_never_both() {
        let (mut writer, mut reader) = both(1 << 20);
        let positions: Vec<_> = (0..10_000).map(|id| writer.push(entry(id), b"x").unwrap().unwrap()).collect();
        let begun = std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                let mut body = Vec::new();
                let mut begun = Vec::new();
                while let Some(entry) = reader.begin(&mut body).unwrap() {
                    begun.push(entry.id);
                    reader.finish();
                }
                begun
            });
            let mut all: Vec<u64> = (0..10_000).rev().filter(|id| writer.take_back(positions[*id as usize])).collect();
            all.extend(reading.join().unwrap());
            all
        });
        let mut begun_or_back = begun;
        begun_or_back.sort_unstable();
        assert_eq!(begun_or_back, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn what_a_dead_reader_had_begun_can_be_told() {
        let (mut writer, mut reader) = both(4096);
        let positions: Vec<_> = (0..3).map(|id| writer.push(entry(id), b"body").unwrap().unwrap()).collect();
        let mut body = Vec::new();
        reader.begin(&mut body).unwrap();
        reader.finish();
        reader.begin(&mut body).unwrap();
        drop(reader);
        let untouched: Vec<_> = positions.into_iter().map(|position| writer.take_back(position)).collect();
        assert_eq!(untouched, [false, false, true]);
    }

    #[test]
    fn a_full_lane_says_so_and_has_room_again_when_it_was_read() {
        let (mut writer, mut reader) = both(4096);
        let held = (0..1000).take_while(|id| writer.push(entry(*id), &[0; 100]).unwrap().is_some()).count();
        assert_eq!(held, 4096 / (32 + 104));
        let mut body = Vec::new();
        reader.begin(&mut body).unwrap();
        assert!(writer.push(entry(0), &[0; 100]).unwrap().is_none(), "begun isn't finished");
        reader.finish();
        assert!(writer.push(entry(0), &[0; 100]).unwrap().is_some());
    }

    #[test]
    fn a_sleeper_is_woken_by_whoever_comes_first() {
        let (mut writer, reader) = both(4096);
        assert_eq!(writer.reader(), Sleep::Awake);
        assert!(reader.sleep(Sleep::Asleep));
        writer.push(entry(1), b"").unwrap();
        assert_eq!(writer.reader(), Sleep::Asleep);
        assert!(writer.wake() && !writer.wake());
        assert!(!reader.sleep(Sleep::Napping), "there is a message");
        assert_eq!(writer.reader(), Sleep::Awake);
    }

    #[test]
    fn a_hostile_other_side_is_an_error() {
        let (mut writer, mut reader) = both(4096);
        writer.push(entry(1), b"body").unwrap();
        writer.lane.word(0).store(u64::from(u32::MAX), Ordering::Relaxed);
        assert!(reader.begin(&mut Vec::new()).is_err());
        let (mut writer, mut reader) = both(4096);
        writer.lane.mapping.word64(HEAD).store(u64::MAX, Ordering::Relaxed);
        assert!(reader.begin(&mut Vec::new()).is_err());
        reader.lane.mapping.word64(TAIL).store(u64::MAX, Ordering::Relaxed);
        assert!(writer.push(entry(1), &[0; 4000]).and_then(|_| writer.push(entry(1), &[0; 4000])).is_err());
    }
}
