//! How far a reader of a ring is, kept where its death doesn't reach: its successor goes on from there.

use std::{
    os::fd::OwnedFd,
    sync::atomic::{Ordering, fence},
};

use crate::{
    call,
    memory::{self, Mapping, MemoryError, Sealing},
    wire::Passed,
};

const BYTES: usize = 4096;
/// Counts the changes. Its lowest bit says which of the two places holds the last one.
const TURN: usize = 0;
/// The places, of two words each.
const PLACES: [usize; 2] = [64, 128];

/// The frame that was handled last: its ring's [epoch](crate::ring::Frame::epoch), and its
/// [number](crate::ring::Frame::sequence). One process at a time sets it; clones and copies are the same one.
///
/// ```
/// use shm::cursor::Cursor;
///
/// let kept = Cursor::create()?;
/// let reader = Cursor::open(kept.share()?.into_owned()?)?;
/// assert_eq!(kept.get(), None);
/// reader.set(7, 1);
/// drop(reader); // however it ends
/// assert_eq!(kept.get(), Some((7, 1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Cursor {
    mapping: Mapping,
    memory: OwnedFd,
}

impl Cursor {
    /// Makes one that no frame was handled under.
    ///
    /// # Errors
    ///
    /// If memory or descriptors are used up.
    pub fn create() -> Result<Self, MemoryError> {
        let (mapping, memory) = memory::create("framewire-cursor", BYTES, Sealing::ManyWriters)?;
        Ok(Self { mapping, memory })
    }

    /// Maps one that another process made.
    ///
    /// # Errors
    ///
    /// If it isn't one.
    pub fn open(memory: OwnedFd) -> Result<Self, MemoryError> {
        Ok(Self { mapping: Mapping::read_write(&memory, BYTES)?, memory })
    }

    /// A descriptor of it, for another process.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn share(&self) -> std::io::Result<Passed> {
        Ok(Passed::new(self.memory.try_clone().map_err(call::failed("fcntl"))?))
    }

    /// Notes a frame. Killed in the middle, it is as if it hadn't been called: what was there stays whole beside it.
    pub fn set(&self, epoch: u64, sequence: u64) {
        let turn = self.mapping.word64(TURN).load(Ordering::Relaxed).wrapping_add(1);
        let place = PLACES[(turn % 2) as usize];
        // What is overwritten was the last but one: whoever reads it still notices by TURN.
        fence(Ordering::Release); // SYNC POINT C1, with the fence in `get`
        self.mapping.word64(place).store(epoch, Ordering::Relaxed);
        self.mapping.word64(place + 8).store(sequence, Ordering::Relaxed);
        self.mapping.word64(TURN).store(turn, Ordering::Release); // SYNC POINT C2, with the first load in `get`
    }

    /// The frame noted last.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        // One who sets it twice while we look makes us look again; nobody does so a hundred times.
        for _ in 0..100 {
            let turn = self.mapping.word64(TURN).load(Ordering::Acquire); // SYNC POINT C2
            if turn == 0 {
                return None;
            }
            let place = PLACES[(turn % 2) as usize];
            let word = |place| self.mapping.word64(place).load(Ordering::Relaxed);
            let noted = (word(place), word(place + 8));
            fence(Ordering::Acquire); // SYNC POINT C1
            if self.mapping.word64(TURN).load(Ordering::Relaxed) == turn {
                return Some(noted);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_was_noted_last_is_known_to_all_and_outlives_whoever_noted_it() {
        let kept = Cursor::create().unwrap();
        let open = || Cursor::open(kept.share().unwrap().into_owned().unwrap()).unwrap();
        assert_eq!((kept.get(), open().get()), (None, None));
        for number in 0..5 {
            open().set(u64::MAX, number);
            assert_eq!((kept.get(), open().get()), (Some((u64::MAX, number)), Some((u64::MAX, number))));
        }
    }

    #[test]
    fn nobody_sees_half_of_it() {
        let (kept, rounds) = (Cursor::create().unwrap(), if cfg!(miri) { 100 } else { 200_000 });
        thread::scope(|scope| {
            scope.spawn(|| (1..=rounds).for_each(|number| kept.set(number, !number)));
            let mut last = 0;
            while last < rounds {
                if let Some((epoch, sequence)) = kept.get() {
                    assert_eq!(epoch, !sequence);
                    assert!(epoch >= last);
                    last = epoch;
                }
            }
        });
    }

    #[test]
    fn what_is_none_is_refused() {
        let (_, memory) = memory::create("framewire-test", 64, Sealing::ManyWriters).unwrap();
        assert!(Cursor::open(memory).is_err());
    }
}
