//! Places where a process may die, so that a test can make it die there.
//!
//! Each protocol calls [`point`] between its steps. Without the feature `crash-points` that is nothing at all; with it, a
//! test counts the points of an operation, and then has a process kill itself at each of them in turn.

/// A place where a process may be killed.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(all(feature = "crash-points", not(all(test, feature = "loom"))))]
    armed::point();
}

#[cfg(all(feature = "crash-points", not(all(test, feature = "loom"))))]
pub use armed::{after, passed};

#[cfg(all(feature = "crash-points", not(all(test, feature = "loom"))))]
mod armed {
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    static PASSED: AtomicU64 = AtomicU64::new(0);
    /// The number of the point to die at; 0: none.
    static FATAL: AtomicU64 = AtomicU64::new(0);

    /// Makes this process kill itself (`SIGKILL`) at the `points`th point from now on; 0: never.
    pub fn after(points: u64) {
        PASSED.store(0, Ordering::SeqCst);
        FATAL.store(points, Ordering::SeqCst);
    }

    /// How many points were passed since the last call of [`after`].
    #[must_use]
    pub fn passed() -> u64 {
        PASSED.load(Ordering::SeqCst)
    }

    pub(super) fn point() {
        let passed = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        if passed == FATAL.load(Ordering::SeqCst) {
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::hint::spin_loop(); // the signal is on its way
            }
        }
    }
}
