//! Sleeping until something may have changed, and waking those who do.
//!
//! A sleeper reads `rings`, marks `sleepers`, and looks *again* whether it must sleep at all; who changes something looks at
//! `sleepers` afterwards. Each puts a fence between its store and its load, so at least one of them sees the other (SYNC
//! POINT W), and no wake-up is lost. Usually nobody sleeps, and all of it costs a fence and a load.
//!
//! The mark is taken away by a waker whom the kernel tells that nobody slept. It is made from the value of `rings` that its
//! sleeper saw, so that this waker can't take away the mark of one who came meanwhile: that one saw a newer value. (And one
//! who saw an older value doesn't fall asleep.) Its first form, a flag that a waker cleared before it rang, had two wakers
//! meet so that one of two sleepers slept on.
//!
//! Who dies between a change and its ring leaves the sleepers to look by themselves, which they do every
//! `SLICE` (`arena/handle.rs`).

use std::time::Instant;

use super::{
    members,
    words::{Bell, Words},
};
use crate::{
    arena::Members,
    crash,
    futex::{self, Outcome},
    sync::{Ordering, fence, fence_after_change},
};

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models wait for as long as it takes"))]
pub(crate) enum Limit {
    /// Not at all.
    Now,
    /// Until then.
    Until(Instant),
    /// For as long as it takes.
    Never,
}

/// How often to look again before falling asleep: some 10 µs, about what a sleep and a wake-up cost.
const SPINS: u32 = 200;

/// Makes `attempt` until it gives something, or `limit` passes (`None`). An attempt that can't be made yet says for which bell
/// to wait. `pause` comes before each sleep: the place to look after the dead.
pub(crate) fn until<'w, W: Words, R>(
    words: &'w W,
    limit: Limit,
    mut attempt: impl FnMut() -> Result<R, Bell<'w>>,
    pause: impl Fn(),
) -> Option<R> {
    if let Ok(done) = attempt() {
        return Some(done);
    }
    // What the dead held may be all that is asked for, also by those who don't wait.
    pause();
    let mut bell = match attempt() {
        Ok(done) => return Some(done),
        Err(bell) => bell,
    };
    let end = match limit {
        Limit::Now => return None,
        Limit::Until(end) => Some(end),
        Limit::Never => None,
    };
    loop {
        for _ in 0..spins() {
            std::hint::spin_loop();
            match attempt() {
                Ok(done) => return Some(done),
                Err(other) => bell = other,
            }
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            return None;
        }
        let rings = mark_sleeper(bell);
        match attempt() {
            Ok(done) => return Some(done),
            Err(same) if same.is(bell) => {}
            Err(other) => {
                bell = other;
                continue;
            }
        }
        crash::point();
        let outcome = words.members().wait_for_any(bell.rings, rings, members::entered(words), end);
        crash::point();
        pause();
        match attempt() {
            Ok(done) => return Some(done),
            Err(_) if outcome == Outcome::TimedOut => return None,
            Err(other) => bell = other,
        }
    }
}

/// Says that somebody is about to sleep, and gives the value of `rings` to sleep on. The caller looks once more after this.
pub(super) fn mark_sleeper(bell: Bell<'_>) -> u32 {
    let rings = bell.rings.load(Ordering::Acquire);
    bell.sleepers.fetch_max(mark(rings), Ordering::Relaxed);
    // SYNC POINT W, the sleeper's half: `sleepers` was marked, the fence, then the last look.
    fence(Ordering::SeqCst);
    rings
}

/// Tells sleepers of a change, which the caller has just made by a read-modify-write (not a mere store); `everybody`, if it is
/// one for more than one of them.
#[inline]
pub(crate) fn ring(bell: Bell<'_>, everybody: bool) {
    // SYNC POINT W, the other half: the change, the fence, then this look.
    fence_after_change();
    let marked = bell.sleepers.load(Ordering::Relaxed);
    if marked != 0 {
        wake(bell, marked, everybody);
    }
}

#[cold]
fn wake(bell: Bell<'_>, marked: u32, everybody: bool) {
    crash::point();
    bell.rings.fetch_add(1, Ordering::AcqRel);
    crash::point();
    if futex::wake(bell.rings, if everybody { futex::ALL } else { 1 }) == 0 || everybody {
        crash::point();
        // Fails if somebody has come to sleep who saw what `rings` is now.
        let _ = bell.sleepers.compare_exchange(marked, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// What a sleeper who saw `rings` leaves in `sleepers`: never 0. After 2³² rings a mark may be lost, and a sleep a slice too
/// long.
fn mark(rings: u32) -> u32 {
    rings.wrapping_add(1).max(1)
}

fn spins() -> u32 {
    if cfg!(all(test, feature = "loom")) {
        return 0;
    }
    // With but one processor, it only keeps the other side from getting on.
    static PROCESSORS: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    if processors == 1 { 0 } else { SPINS }
}
