//! Places where a process may die, so that a test can make it die there.
//!
//! Each protocol calls `point` between its steps. Without the feature `crash-points` that is nothing at all; with it, a
//! test counts the points of an operation, and then has a process kill itself at each of them in turn.

/// A place where a process may be killed.
#[inline(always)]
pub(crate) fn point() {
    #[cfg(all(feature = "crash-points", not(all(test, feature = "loom"))))]
    armed::point();
    #[cfg(all(test, feature = "loom"))]
    doomed::point();
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

#[cfg(all(test, feature = "loom"))]
pub(crate) mod doomed {
    //! The same for loom's models: a thread stops at a point, as if its process were killed there.

    use std::{
        cell::Cell,
        panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    };

    /// What a thread is unwound with. It isn't a panic, so nothing is printed.
    struct Death;

    loom::thread_local! {
        static LEFT: Cell<u32> = Cell::new(u32::MAX);
    }

    /// Runs `life` until its `points`th point from here, the first being 0; says whether it came to its end before.
    pub(crate) fn live(points: u32, life: impl FnOnce()) -> bool {
        LEFT.with(|left| left.set(points));
        let ended = catch_unwind(AssertUnwindSafe(life));
        LEFT.with(|left| left.set(u32::MAX));
        match ended {
            Ok(()) => true,
            Err(death) if death.is::<Death>() => false,
            Err(panic) => resume_unwind(panic),
        }
    }

    pub(super) fn point() {
        let died = LEFT.with(|left| match left.get() {
            u32::MAX => false,
            0 => true,
            more => {
                left.set(more - 1);
                false
            }
        });
        if died {
            resume_unwind(Box::new(Death));
        }
    }
}
