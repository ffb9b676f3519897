//! The protocol of a lock: one word, which one compare-and-swap takes and signs.
//!
//! `[waiters: 1][inconsistent: 1][kept: 1][0: 3][owner: 26]`
//!
//! ```text
//!              take                          unlock
//!   free  ───────────────▶  owner  ───────────────────▶  free
//!                             │  ▲                         (keeps `inconsistent` until it is marked consistent)
//!        a contender sets     ▼  │  a contender takes over
//!                 owner + waiters, dies ──▶ owner' + inconsistent
//! ```
//!
//! Who is killed before its compare-and-swap hasn't the lock, and after it the word says who has it: there is no moment in
//! which a dead process holds it and nobody can tell. Nor can it die between unlocking and waking with others asleep for
//! ever: they sleep for the word *and* for the life of the owner that they saw.
//!
//! Whatever was done under the lock comes before what the next owner does: SYNC POINT L, a Release in [`unlock`] and an
//! Acquire in [`attempt`]; after a death, by the kernel's mark (SYNC POINT M in `arena/table.rs`).

use std::time::Instant;

use crate::{
    arena::{Members, Owner},
    crash,
    futex::{self, Outcome},
    sync::{AtomicU32, Ordering},
};

/// Somebody sleeps on the word, or has.
pub(super) const WAITERS: u32 = 1 << 31;
/// An owner died, or let go in the middle, and nobody has put things in order since.
pub(super) const INCONSISTENT: u32 = 1 << 30;
/// It is held without a guard, so anybody may release it.
#[cfg(not(all(test, feature = "loom")))]
pub(super) const KEPT: u32 = 1 << 29;

/// The lock is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// In good order.
    Clean,
    /// As a dead owner left it.
    Inconsistent,
}

/// Somebody has the lock: what to sleep for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    pub expected: u32,
    pub owner: Owner,
}

/// Takes it if nobody living has it.
#[inline]
pub(crate) fn try_take(word: &AtomicU32, members: &impl Members) -> Result<Taken, Blocked> {
    crash::point();
    // SYNC POINT L.
    if word.compare_exchange(0, members.me().word(), Ordering::Acquire, Ordering::Relaxed).is_ok() {
        crash::point();
        return Ok(Taken::Clean);
    }
    take(word, members, 0)
}

/// Takes it, or says that somebody waits for it, and what to sleep for. `again`: this isn't the first attempt of one who
/// waits, so that others may be asleep whose wake-up it was.
pub(crate) fn attempt(word: &AtomicU32, members: &impl Members, again: bool) -> Result<Taken, Blocked> {
    loop {
        let blocked = match take(word, members, if again { WAITERS } else { 0 }) {
            Ok(taken) => return Ok(taken),
            Err(blocked) => blocked,
        };
        let expected = blocked.expected | WAITERS;
        let announced = blocked.expected == expected
            || word.compare_exchange(blocked.expected, expected, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        crash::point();
        if announced {
            return Err(Blocked { expected, ..blocked });
        }
    }
}

fn take(word: &AtomicU32, members: &impl Members, waiters: u32) -> Result<Taken, Blocked> {
    loop {
        let now = word.load(Ordering::Relaxed);
        let died = match Owner::of(now) {
            None => 0,
            Some(owner) if members.is_dead(owner) => INCONSISTENT,
            Some(owner) => return Err(Blocked { expected: now, owner }),
        };
        let mine = members.me().word() | now & (WAITERS | INCONSISTENT) | waiters | died;
        crash::point();
        // SYNC POINT L.
        if word.compare_exchange(now, mine, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            crash::point();
            return Ok(if mine & INCONSISTENT == 0 { Taken::Clean } else { Taken::Inconsistent });
        }
    }
}

/// Takes it, and waits for it until `until`; `None`: not within that.
pub(crate) fn lock(word: &AtomicU32, members: &impl Members, until: Option<Instant>) -> Option<Taken> {
    if let Ok(taken) = try_take(word, members) {
        return Some(taken);
    }
    spin_while_held(word);
    let mut again = false;
    loop {
        let blocked = match attempt(word, members, again) {
            Ok(taken) => return Some(taken),
            Err(blocked) => blocked,
        };
        again = true;
        if members.wait_for_owner(word, blocked.expected, blocked.owner, until) == Outcome::TimedOut {
            return take(word, members, WAITERS).ok();
        }
    }
}

/// Lets go of it, and wakes up to `sleepers` of those who wait. `false` if this process hasn't got it (any more).
#[inline]
pub(crate) fn unlock(word: &AtomicU32, me: Owner, sleepers: u32) -> bool {
    crash::point();
    // SYNC POINT L.
    if word.compare_exchange(me.word(), 0, Ordering::Release, Ordering::Relaxed).is_ok() {
        crash::point();
        return true;
    }
    unlock_if(word, sleepers, |now| Owner::of(now) == Some(me))
}

/// Lets go of it, whoever has it, if `may` says so of the word.
pub(crate) fn unlock_if(word: &AtomicU32, sleepers: u32, may: impl Fn(u32) -> bool) -> bool {
    let mut now = word.load(Ordering::Relaxed);
    loop {
        if !may(now) {
            return false;
        }
        crash::point();
        // SYNC POINT L.
        match word.compare_exchange(now, now & INCONSISTENT, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => break,
            Err(other) => now = other,
        }
    }
    crash::point();
    if now & WAITERS != 0 {
        futex::wake(word, sleepers);
    }
    crash::point();
    true
}

/// For who waited and gives up: if it was woken for nothing, another one should know that the lock is free.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) fn pass_on(word: &AtomicU32) {
    if Owner::of(word.load(Ordering::Relaxed)).is_none() {
        futex::wake(word, 1);
    }
}

/// Most locks are held for less than falling asleep takes, if the owner is on another processor.
#[cfg(not(all(test, feature = "loom")))]
fn spin_while_held(word: &AtomicU32) {
    static TURNS: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let several = || std::thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    // Some 3 µs: about what a sleep and a wake-up cost, so that at worst it takes twice the time.
    let turns = *TURNS.get_or_init(|| if several() { 100 } else { 0 });
    for _ in 0..turns {
        let now = word.load(Ordering::Relaxed);
        if Owner::of(now).is_none() || now & WAITERS != 0 {
            return; // free; or others wait already, who came first
        }
        std::hint::spin_loop();
    }
}

#[cfg(all(test, feature = "loom"))]
fn spin_while_held(_word: &AtomicU32) {}
