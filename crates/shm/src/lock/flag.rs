//! The protocol of an event: `[times cleared: 30][waiters: 1][set: 1]`.
//!
//! Who waits remembers how often it had been cleared, so an event that is set and at once cleared again is missed by nobody
//! who was waiting. Setting and waking is one system call, so a death can't come between, and who waits can sleep without
//! ever looking by itself. What was done before `set` comes before what is done after a wait: SYNC POINT E.

use std::time::Instant;

use crate::{
    crash,
    futex::{self, Outcome},
    sync::{AtomicU32, Ordering},
};

const SET: u32 = 1;
const WAITERS: u32 = 2;
const COUNT: u32 = 4;

pub(super) fn is_set(word: &AtomicU32) -> bool {
    // SYNC POINT E.
    word.load(Ordering::Acquire) & SET != 0
}

pub(super) fn set(word: &AtomicU32) {
    let mut now = word.load(Ordering::Relaxed);
    while now & SET == 0 {
        crash::point();
        if now & WAITERS != 0 {
            // SYNC POINT E: what the kernel does to the word is a full barrier.
            futex::set_bits_and_wake(word, SET as u16, futex::ALL);
            crash::point();
            return;
        }
        // SYNC POINT E.
        match word.compare_exchange(now, now | SET, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return crash::point(),
            Err(other) => now = other,
        }
    }
}

pub(super) fn clear(word: &AtomicU32) {
    let mut now = word.load(Ordering::Relaxed);
    while now & SET != 0 {
        crash::point();
        // AcqRel: who finds it cleared, and so has missed nothing, still comes after what was set. SYNC POINT E.
        let cleared = (now & !(SET | WAITERS)).wrapping_add(COUNT);
        match word.compare_exchange(now, cleared, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return crash::point(),
            Err(other) => now = other,
        }
    }
}

/// Since when one waits.
pub(super) fn begin(word: &AtomicU32) -> u32 {
    word.load(Ordering::Relaxed) / COUNT
}

/// Whether it has been set since `began`; if not, what to sleep for, announced.
pub(super) fn attempt(word: &AtomicU32, began: u32) -> Result<(), u32> {
    loop {
        // SYNC POINT E.
        let now = word.load(Ordering::Acquire);
        if now & SET != 0 || now / COUNT != began {
            return Ok(());
        }
        let expected = now | WAITERS;
        crash::point();
        if now == expected || word.compare_exchange(now, expected, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            crash::point();
            return Err(expected);
        }
    }
}

/// Whether it is set before `until`.
pub(super) fn wait(word: &AtomicU32, until: Option<Instant>) -> bool {
    let began = begin(word);
    loop {
        let Err(expected) = attempt(word, began) else { return true };
        if futex::wait(&[(word, expected)], until) == Outcome::TimedOut {
            return attempt(word, began).is_ok();
        }
    }
}
