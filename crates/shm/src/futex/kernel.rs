//! The system calls.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    thread::futex::{Flags, Wait, WaitFlags, WaitPtr, WaitvFlags, WakeOp, WakeOpCmp, wait_bitset, waitv, wake_op},
    time::{ClockId, Timespec, clock_gettime},
};

use super::{MAX_WORDS, Outcome};
use crate::sync::AtomicU32;

/// How long a sleep on several words may be where the kernel can only sleep on one (before 5.16, or a filter): the others
/// are then looked at this often.
const BLIND: Duration = Duration::from_millis(5);

/// Sleeps while every word holds what is expected of it, until one of them is woken, or until `until`.
///
/// It compares and falls asleep in one step, for each word: what is changed and then woken is never slept over. It may
/// return for no reason. `words` has 1 to [`MAX_WORDS`] elements; further ones aren't watched.
pub(crate) fn wait(words: &[(&AtomicU32, u32)], until: Option<Instant>) -> Outcome {
    wait_index(words, until).0
}

/// As [`wait`], and tells which word was woken, if one was: of several, one.
pub(crate) fn wait_index(words: &[(&AtomicU32, u32)], until: Option<Instant>) -> (Outcome, Option<usize>) {
    static ONE_ONLY: AtomicBool = AtomicBool::new(false);
    let words = &words[..words.len().min(MAX_WORDS)];
    let slept = match words {
        [] => return (Outcome::Woken, None),
        [(word, expected)] => on_one(word, *expected, until).map(|()| 0),
        [(word, expected), ..] if ONE_ONLY.load(Ordering::Relaxed) => {
            let look = Instant::now() + BLIND;
            match on_one(word, *expected, Some(until.map_or(look, |until| until.min(look)))) {
                Err(Errno::TIMEDOUT) if until.is_none_or(|until| Instant::now() < until) => Err(Errno::INTR),
                other => other.map(|()| 0),
            }
        }
        _ => on_any(words, until),
    };
    match slept {
        Ok(index) => (Outcome::Woken, Some(index)),
        Err(Errno::TIMEDOUT) => (Outcome::TimedOut, None),
        Err(Errno::NOSYS | Errno::PERM) => {
            ONE_ONLY.store(true, Ordering::Relaxed);
            (Outcome::Woken, None)
        }
        // A word differs, or a signal came: both mean to look again.
        Err(_) => (Outcome::Woken, None),
    }
}

/// Wakes up to `count` of those who sleep on `word`, in any process; says how many it were.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
    // It can fail only for an address that isn't mapped, and a reference is.
    rustix::thread::futex::wake(word, Flags::empty(), count).map_or(0, |woken| woken as u32)
}

/// Sets the lowest `bits` (below 2048) of `word`, and wakes up to `count` of its sleepers: one system call, which a
/// `SIGKILL` comes before or after, so nobody can die having set but not woken.
pub(crate) fn set_bits_and_wake(word: &AtomicU32, bits: u16, count: u32) {
    debug_assert!(bits < 2048, "an operand of 12 bits with a sign");
    let _ = wake_op(word, Flags::empty(), count, 0, word, WakeOp::Or, WakeOpCmp::Eq, bits, 0);
}

fn on_one(word: &AtomicU32, expected: u32, until: Option<Instant>) -> Result<(), Errno> {
    // Unlike FUTEX_WAIT, FUTEX_WAIT_BITSET takes an instant, so that a signal doesn't make it longer.
    wait_bitset(word, Flags::empty(), expected, until.map(instant).as_ref(), NonZeroU32::MAX)
}

fn on_any(words: &[(&AtomicU32, u32)], until: Option<Instant>) -> Result<usize, Errno> {
    let mut vector = [Wait::new(); MAX_WORDS];
    for (entry, (word, expected)) in vector.iter_mut().zip(words) {
        entry.val = u64::from(*expected);
        entry.uaddr = WaitPtr::new(word.as_ptr().cast());
        entry.flags = WaitFlags::SIZE_U32;
    }
    waitv(&vector[..words.len()], WaitvFlags::empty(), until.map(instant).as_ref(), ClockId::Monotonic)
}

/// The same instant, as the kernel counts.
fn instant(until: Instant) -> Timespec {
    let left = until.saturating_duration_since(Instant::now());
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_nsec + i64::from(left.subsec_nanos());
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX / 2);
    Timespec {
        tv_sec: now.tv_sec.saturating_add(seconds).saturating_add(nanoseconds / 1_000_000_000),
        tv_nsec: nanoseconds % 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_ends_a_sleep_and_a_difference_prevents_it() {
        let (one, other) = (AtomicU32::new(1), AtomicU32::new(2));
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        for words in [&[(&one, 1)][..], &[(&one, 1), (&other, 2)]] {
            let began = Instant::now();
            assert_eq!(wait(words, soon()), Outcome::TimedOut);
            assert!(began.elapsed() >= Duration::from_millis(20));
        }
        assert_eq!(wait(&[(&one, 1), (&other, 3)], None), Outcome::Woken);
        assert_eq!(wait(&[(&one, 0)], None), Outcome::Woken);
    }

    #[test]
    fn setting_and_waking_is_one_step() {
        let word = AtomicU32::new(0b1000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) & 1 == 0 {
                    wait(&[(&word, 0b1000)], None);
                }
            });
            set_bits_and_wake(&word, 1, super::super::ALL);
        });
        assert_eq!(word.load(Ordering::Relaxed), 0b1001);
    }
}
