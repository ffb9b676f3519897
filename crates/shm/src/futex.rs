//! Sleeping on a word of shared memory until another process changes it.
//!
//! Three system calls, and nothing that knows of locks: [`wait`] sleeps while words hold what is expected, [`wake`] ends
//! such sleeps, and [`set_bits_and_wake`] changes a word and ends the sleeps on it in one step that a death can't split.
//! Under loom a twin (`loom.rs`) takes the kernel's place, exact enough that a lost wake-up is reported as a deadlock.

#[cfg(not(all(test, feature = "loom")))]
mod kernel;
#[cfg(all(test, feature = "loom"))]
mod loom;

#[cfg(not(all(test, feature = "loom")))]
pub(crate) use kernel::{set_bits_and_wake, wait, wait_index, wake};
#[cfg(all(test, feature = "loom"))]
pub(crate) use loom::{death, set_bits_and_wake, wait, wake};

/// The most words that one call of [`wait`] takes (`FUTEX_WAITV_MAX`).
#[cfg(not(all(test, feature = "loom")))]
pub(crate) const MAX_WORDS: usize = 128;

/// Everybody who sleeps on a word.
pub(crate) const ALL: u32 = i32::MAX as u32;

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A word was woken, didn't hold what was expected, or nothing happened at all: look again.
    Woken,
    /// The limit has passed.
    TimedOut,
}
