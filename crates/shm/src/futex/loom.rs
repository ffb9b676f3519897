//! The kernel's twin for loom: comparing and falling asleep is one step, and whom a wake reaches is exact.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::time::Instant;

use loom::sync::{Condvar, Mutex, MutexGuard};

use super::Outcome;
use crate::sync::{AtomicU32, Ordering};

/// Who sleeps, in the order in which they came.
#[derive(Default)]
struct Sleepers {
    next: u64,
    asleep: Vec<Sleeper>,
}

struct Sleeper {
    number: u64,
    /// Addresses, never followed.
    words: Vec<usize>,
}

loom::lazy_static! {
    static ref SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers::default());
    static ref CHANGED: Condvar = Condvar::new();
}

fn sleepers() -> MutexGuard<'static, Sleepers> {
    SLEEPERS.lock().unwrap()
}

/// As the kernel's. Loom has no time, so a limit may pass at any moment: with one, it is asleep for one turn of the
/// scheduler, in which it can be woken, and otherwise it has timed out.
pub(crate) fn wait(words: &[(&AtomicU32, u32)], until: Option<Instant>) -> Outcome {
    let mut state = sleepers();
    if words.iter().any(|(word, expected)| word.load(Ordering::Relaxed) != *expected) {
        return Outcome::Woken;
    }
    let number = state.next;
    state.next += 1;
    state.asleep.push(Sleeper { number, words: words.iter().map(|(word, _)| address(word)).collect() });
    if until.is_some() {
        drop(state);
        loom::thread::yield_now();
        let mut state = sleepers();
        let before = state.asleep.len();
        state.asleep.retain(|sleeper| sleeper.number != number);
        return if state.asleep.len() < before { Outcome::TimedOut } else { Outcome::Woken };
    }
    while state.asleep.iter().any(|sleeper| sleeper.number == number) {
        state = CHANGED.wait(state).unwrap();
    }
    Outcome::Woken
}

pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
    wake_among(&mut sleepers(), word, count)
}

pub(crate) fn set_bits_and_wake(word: &AtomicU32, bits: u16, count: u32) {
    let mut state = sleepers();
    word.fetch_or(u32::from(bits), Ordering::SeqCst);
    wake_among(&mut state, word, count);
}

/// A process has died. Over a real kernel whoever sleeps for an owner, or with slices, looks again soon after; here all
/// do at once, which is the latest that they may.
pub(crate) fn death() {
    sleepers().asleep.clear();
    CHANGED.notify_all();
}

fn wake_among(state: &mut Sleepers, word: &AtomicU32, count: u32) -> u32 {
    let mut woken = 0;
    state.asleep.retain(|sleeper| {
        let wakes = woken < count && sleeper.words.contains(&address(word));
        woken += u32::from(wakes);
        !wakes
    });
    if woken > 0 {
        CHANGED.notify_all();
    }
    woken
}

fn address(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr()
}
