//! One page of shared memory for each process, in which it says how it does.
//!
//! The process itself and its supervisor write it; anybody who is handed the descriptor reads it at any time, also
//! after the process died, and at no cost to the process: each update is a store or two.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{Mode, OFlags};

use crate::{
    call,
    memory::{self, Mapping, MemoryError, Sealing},
    wire::Passed,
};

const BYTES: usize = 8192;
/// Where the process's own numbers begin, and its own texts; before are the supervisor's.
const OWN_NUMBERS: usize = 128;
const OWN_TEXTS: usize = Text::Detail as usize;
const OWN_TEXTS_END: usize = Text::Trouble as usize + TEXT_HEAD + Text::Trouble.capacity();
// The second part, too, ends before what is the supervisor's again.
const _: () = assert!(OWN_TEXTS_END + PART_BYTES <= Text::Failure as usize);
/// How far the second part of what the process writes is from the first.
const PART_BYTES: usize = OWN_TEXTS_END;
/// Of a text's place, what isn't the text itself.
const TEXT_HEAD: usize = 16;

/// A number on the page. Its value is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Number {
    /// Supervisor: process identifier, 0 while none runs.
    Pid = 0,
    /// Supervisor: a code of the `process` crate.
    State = 8,
    /// Supervisor: how often it was started again.
    Restarts = 16,
    /// Supervisor: `CLOCK_MONOTONIC` of this incarnation's start, in nanoseconds.
    StartedNs = 24,
    /// Supervisor: from which of two parts the process's own numbers and texts are read, 0 or 1. While a process is being
    /// replaced, two incarnations of it are at work; each writes a part of its own.
    Part = 32,
    /// Process: it grows with whatever its event loop does, and is even while that sleeps.
    Heartbeat = 128,
    /// Process: frames taken from its inputs.
    FramesIn = 136,
    /// Process: frames published at its outputs.
    FramesOut = 144,
    /// Process: frames that its inputs dropped or skipped.
    Dropped = 152,
    /// Process: a code of the block's own, such as a camera's state.
    Condition = 160,
    /// Process: a number of the block's own, such as how many viewers it serves.
    Clients = 168,
    /// Process: width of its picture, in pixels.
    Width = 176,
    /// Process: height of its picture, in pixels.
    Height = 184,
    /// Process: calls of this incarnation that it has looked at, or that were taken back before it could.
    CallsTaken = 192,
}

/// A text on the page: at most [`capacity`](Self::capacity) bytes of UTF-8, cut at a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Text {
    /// Supervisor: how the previous incarnation ended.
    LastExit = 512,
    /// Process: what it does now, for a person.
    Detail = 768,
    /// Process: the codec of its stream, by RFC 6381.
    Codec = 1024,
    /// Process: what it has trouble with but goes on, such as a traceback.
    Trouble = 1280,
    /// Whoever had it started: why it isn't there, such as what it said when it ended.
    Failure = 4608,
}

impl Text {
    /// Whether it is the process's own, of which there are two parts.
    const fn is_own(self) -> bool {
        matches!(self, Self::Detail | Self::Codec | Self::Trouble)
    }

    /// How many bytes it can have: 240, or 1,008 where lines of explanation go.
    #[must_use]
    pub const fn capacity(self) -> usize {
        let place = match self {
            Self::LastExit | Self::Detail | Self::Codec => 256,
            Self::Trouble | Self::Failure => 1024,
        };
        place - TEXT_HEAD
    }
}

/// A page that this process may write.
#[derive(Debug)]
pub struct StatusPage {
    view: StatusView,
    memory: OwnedFd,
}

/// A page that this process only reads.
#[derive(Debug)]
pub struct StatusView {
    mapping: Mapping,
    /// The part that is seen; `None`: that which [`Number::Part`] tells, at each look.
    part: Option<usize>,
}

impl StatusPage {
    /// Makes an empty page.
    ///
    /// # Errors
    ///
    /// If memory or descriptors are used up.
    pub fn create() -> Result<Self, MemoryError> {
        let (mapping, memory) = memory::create("framewire-status", BYTES, Sealing::ManyWriters)?;
        Ok(Self { view: StatusView { mapping, part: None }, memory })
    }

    /// Maps a page that another process made, to write it.
    ///
    /// # Errors
    ///
    /// If it isn't one.
    pub fn open(memory: OwnedFd) -> Result<Self, MemoryError> {
        Ok(Self { view: StatusView { mapping: Mapping::read_write(&memory, BYTES)?, part: None }, memory })
    }

    /// As [`open`](Self::open), for one of two incarnations: it sees and writes this part, whichever others look at.
    ///
    /// # Errors
    ///
    /// If it isn't a page.
    pub fn open_part(memory: OwnedFd, part: u64) -> Result<Self, MemoryError> {
        let Self { view, memory } = Self::open(memory)?;
        Ok(Self { view: StatusView { part: Some((part % 2) as usize), ..view }, memory })
    }

    /// Empties a part that nobody writes and nobody looks at, for an incarnation to come.
    pub fn clear_part(&self, part: u64) {
        let first = (part % 2) as usize * PART_BYTES;
        let numbers = OWN_NUMBERS..Text::LastExit as usize;
        let texts = OWN_TEXTS..OWN_TEXTS_END;
        for place in numbers.chain(texts).step_by(8) {
            self.view.mapping.word64(first + place).store(0, Ordering::Relaxed);
        }
    }

    /// A descriptor with which another process can write the page.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn writable(&self) -> io::Result<Passed> {
        Ok(Passed::new(self.memory.try_clone().map_err(call::failed("fcntl"))?))
    }

    /// A descriptor with which another process can only read the page.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left, or `/proc` isn't mounted.
    pub fn read_only(&self) -> io::Result<Passed> {
        use std::os::fd::AsRawFd;
        let path = format!("/proc/self/fd/{}", self.memory.as_fd().as_raw_fd());
        let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        Ok(Passed::new(opened.map_err(call::failed("open"))?))
    }

    /// Reads it.
    #[must_use]
    pub fn view(&self) -> &StatusView {
        &self.view
    }

    /// Sets a number.
    pub fn set(&self, number: Number, value: u64) {
        self.view.number(number).store(value, Ordering::Relaxed);
    }

    /// Adds to a number.
    pub fn add(&self, number: Number, more: u64) {
        self.view.number(number).fetch_add(more, Ordering::Relaxed);
    }

    /// Sets a text. One thread at a time writes one text; a reader meanwhile gets the old or the new one whole.
    pub fn set_text(&self, text: Text, value: &str) {
        let value = &value.as_bytes()[..value.floor_char_boundary(text.capacity())];
        let (page, place) = (&self.view.mapping, self.view.text_place(text));
        let (turn, length) = (page.word64(place), page.word64(place + 8));
        let now = turn.load(Ordering::Relaxed) | 1;
        // A seqlock over atomics: odd while it is being written. SYNC POINT T, with the two loads in `text`.
        turn.store(now, Ordering::Relaxed);
        std::sync::atomic::fence(Ordering::Release);
        length.store(value.len() as u64, Ordering::Relaxed);
        for (index, chunk) in value.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            page.word64(place + TEXT_HEAD + index * 8).store(u64::from_ne_bytes(word), Ordering::Relaxed);
        }
        turn.store(now.wrapping_add(1), Ordering::Release);
    }
}

impl StatusView {
    /// Maps a page that another process made, to read it.
    ///
    /// # Errors
    ///
    /// If it isn't one.
    pub fn open(memory: &Passed) -> Result<Self, MemoryError> {
        Ok(Self { mapping: Mapping::read_only(memory, BYTES)?, part: None })
    }

    /// Where something is: what is the process's own is in one of two parts.
    fn place(&self, place: usize, is_own: bool) -> usize {
        // Whatever the word says, it is one of two: anybody who may write the page may write that.
        let told = || self.mapping.word64(Number::Part as usize).load(Ordering::Relaxed) % 2;
        if is_own { place + self.part.unwrap_or_else(|| told() as usize) * PART_BYTES } else { place }
    }

    fn text_place(&self, text: Text) -> usize {
        self.place(text as usize, text.is_own())
    }

    fn number(&self, number: Number) -> &AtomicU64 {
        self.mapping.word64(self.place(number as usize, number as usize >= OWN_NUMBERS))
    }

    /// A number as it is now.
    #[must_use]
    pub fn get(&self, number: Number) -> u64 {
        self.number(number).load(Ordering::Relaxed)
    }

    /// A text as it is now; empty if none was set, or if its writer died while it wrote.
    #[must_use]
    pub fn text(&self, text: Text) -> String {
        let (page, place) = (&self.mapping, self.text_place(text));
        // A writer takes well under a microsecond; one that was killed in the middle must not hold us up.
        for _ in 0..100 {
            let turn = page.word64(place).load(Ordering::Acquire);
            if !turn.is_multiple_of(2) {
                std::hint::spin_loop();
                continue;
            }
            let mut bytes = vec![0; text.capacity()];
            let length = page.word64(place + 8).load(Ordering::Relaxed).min(bytes.len() as u64) as usize;
            page.copy_out(place + TEXT_HEAD, &mut bytes);
            std::sync::atomic::fence(Ordering::Acquire);
            if page.word64(place).load(Ordering::Relaxed) == turn {
                return String::from_utf8_lossy(&bytes[..length]).into_owned();
            }
        }
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_says_the_other_reads() {
        let page = StatusPage::create().unwrap();
        let child = StatusPage::open(page.writable().unwrap().into_owned().unwrap()).unwrap();
        let view = StatusView::open(&page.read_only().unwrap()).unwrap();
        child.add(Number::FramesIn, 3);
        child.add(Number::FramesIn, 4);
        page.set(Number::Pid, 42);
        assert_eq!((view.get(Number::FramesIn), view.get(Number::Pid)), (7, 42));
        assert_eq!(view.text(Text::Detail), "");
        child.set_text(Text::Detail, "connecting");
        assert_eq!(view.text(Text::Detail), "connecting");
        child.set_text(Text::Detail, &"ü".repeat(200));
        assert_eq!(view.text(Text::Detail), "ü".repeat(120), "cut at a character");
        child.set_text(Text::Trouble, &"x".repeat(2000));
        assert_eq!((view.text(Text::Trouble).len(), view.text(Text::Failure).len()), (1008, 0), "and into no other");
        page.set_text(Text::Failure, &"y".repeat(2000));
        assert_eq!(view.text(Text::Failure), "y".repeat(1008));
        assert!(StatusPage::open(page.read_only().unwrap().into_owned().unwrap()).is_err(), "read-only stays so");
    }

    #[test]
    fn a_writer_that_died_in_the_middle_holds_nobody_up() {
        let page = StatusPage::create().unwrap();
        page.set_text(Text::Detail, "whole");
        page.view.mapping.word64(Text::Detail as usize).fetch_or(1, Ordering::Relaxed);
        assert_eq!(page.view().text(Text::Detail), "");
        page.set_text(Text::Detail, "its successor");
        assert_eq!(page.view().text(Text::Detail), "its successor");
    }

    #[test]
    fn two_incarnations_write_and_one_is_looked_at() {
        let page = StatusPage::create().unwrap();
        let open = |part| StatusPage::open_part(page.writable().unwrap().into_owned().unwrap(), part).unwrap();
        let (old, new) = (open(0), open(1));
        let view = StatusView::open(&page.read_only().unwrap()).unwrap();
        old.set_text(Text::Detail, "old");
        new.set_text(Text::Detail, "new");
        old.add(Number::FramesIn, 1);
        new.add(Number::FramesIn, 20);
        page.set(Number::Pid, 42);
        page.set_text(Text::LastExit, "well");
        let look = || (view.get(Number::FramesIn), view.text(Text::Detail), view.get(Number::Pid));
        assert_eq!(look(), (1, "old".to_owned(), 42));
        page.set(Number::Part, 1);
        assert_eq!(look(), (20, "new".to_owned(), 42));
        old.add(Number::FramesIn, 1);
        assert_eq!((old.view().get(Number::FramesIn), look().0), (2, 20), "each has its own");
        page.clear_part(0);
        page.set(Number::Part, 4); // a wrong one: still one of two
        assert_eq!(look(), (0, String::new(), 42));
        assert_eq!(view.text(Text::LastExit), "well");
    }
}
