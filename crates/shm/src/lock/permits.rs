//! The protocol of a semaphore: one word a permit, which names its holder, and a gate at which to wait.
//!
//! ```text
//! permit:   absent ──release──▶ available (0) ──acquire──▶ owner (kept) ──release──▶ available
//!              ▲                                             │
//!              └──────────────────── spend ──────────────────┤   a dead owner's permit is available
//! ```
//!
//! The gate is `[count: 31][waiters: 1]`. Who finds no permit marks the gate and looks once more before it sleeps; who
//! releases frees the permit and then looks at the gate: of two such store-fence-load halves at least one sees the other
//! (SYNC POINT G). One is woken for each mark; it marks the gate again for those who still sleep, and if there are
//! permits left when it has its own, wakes the next. A wake-up that died with its receiver is made good by the slices in
//! which everybody sleeps. What was done before a release comes before what the next holder does: SYNC POINT P.

use std::time::Instant;

use crate::{
    arena::{Members, Owner},
    crash,
    futex::{self, Outcome},
    sync::{AtomicU32, Ordering, fence},
};

/// A permit that there could be.
pub(super) const ABSENT: u32 = 1 << 31;
/// It is held without a value that gives it back, so anybody may release it.
pub(super) const KEPT: u32 = 1 << 29;
const AVAILABLE: u32 = 0;
const WAITERS: u32 = 1;

/// The shared words.
pub(super) trait Permits {
    fn permits(&self) -> impl Iterator<Item = &AtomicU32>;
    fn gate(&self) -> &AtomicU32;
}

/// Takes a permit, and says which.
pub(super) fn try_acquire(permits: &impl Permits, members: &impl Members) -> Option<usize> {
    let me = members.me().word();
    crash::point();
    // SYNC POINT P.
    let take = |word: &AtomicU32, now| word.compare_exchange(now, me, Ordering::Acquire, Ordering::Relaxed).is_ok();
    let free = |word: &AtomicU32| word.load(Ordering::Relaxed) == AVAILABLE && take(word, AVAILABLE);
    let dead = |word: &AtomicU32| {
        let now = word.load(Ordering::Relaxed);
        Owner::of(now).is_some_and(|owner| members.is_dead(owner)) && take(word, now)
    };
    let taken = permits.permits().position(free).or_else(|| permits.permits().position(dead));
    crash::point();
    taken
}

/// Takes a permit, or says what to sleep for.
pub(super) fn attempt(permits: &impl Permits, members: &impl Members) -> Result<usize, u32> {
    let expected = permits.gate().fetch_or(WAITERS, Ordering::Relaxed) | WAITERS;
    crash::point();
    // SYNC POINT G: the mark, the fence, then the look.
    fence(Ordering::SeqCst);
    let taken = try_acquire(permits, members).ok_or(expected)?;
    if permits.permits().any(|word| word.load(Ordering::Relaxed) == AVAILABLE) {
        open(permits.gate());
    }
    Ok(taken)
}

/// Takes a permit, and waits for one until `until`.
pub(super) fn acquire(permits: &impl Permits, members: &impl Members, until: Option<Instant>) -> Option<usize> {
    if let Some(taken) = try_acquire(permits, members) {
        return Some(taken);
    }
    loop {
        let expected = match attempt(permits, members) {
            Ok(taken) => return Some(taken),
            Err(expected) => expected,
        };
        if members.wait_a_while(permits.gate(), expected, until) == Outcome::TimedOut {
            return attempt(permits, members).ok();
        }
    }
}

/// Makes one permit available: one that this process kept; else one that another kept; else, one more than there were.
/// `false` if there is none left to add.
pub(super) fn release(permits: &impl Permits, members: &impl Members) -> bool {
    let me = members.me();
    let kept = |word: &AtomicU32| Some(word.load(Ordering::Relaxed)).filter(|now| now & KEPT != 0);
    let own = |word: &AtomicU32| kept(word) == Some(me.word() | KEPT) && free(word, me.word() | KEPT);
    let anybodys = |word: &AtomicU32| kept(word).is_some_and(|now| free(word, now));
    let another = |word: &AtomicU32| free(word, ABSENT);
    crash::point();
    let freed = permits.permits().any(own) || permits.permits().any(anybodys) || permits.permits().any(another);
    crash::point();
    if freed {
        signal(permits);
    }
    freed
}

/// Makes this permit available, if this process still holds it.
pub(super) fn release_one(permits: &impl Permits, word: &AtomicU32, me: Owner) {
    crash::point();
    if free(word, me.word()) {
        crash::point();
        signal(permits);
    }
}

/// For who was woken and doesn't take the permit, too.
pub(super) fn signal(permits: &impl Permits) {
    // SYNC POINT G: the permit, the fence, then the look.
    fence(Ordering::SeqCst);
    open(permits.gate());
}

fn free(word: &AtomicU32, from: u32) -> bool {
    // SYNC POINT P.
    word.compare_exchange(from, AVAILABLE, Ordering::Release, Ordering::Relaxed).is_ok()
}

fn open(gate: &AtomicU32) {
    let mut now = gate.load(Ordering::Relaxed);
    while now & WAITERS != 0 {
        crash::point();
        match gate.compare_exchange(now, now.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                crash::point();
                futex::wake(gate, 1);
                return;
            }
            Err(other) => now = other,
        }
    }
}
