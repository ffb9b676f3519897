//! What comes instead of a lock.

use std::{fmt, io};

use crate::fork::Forked;

/// A lock wasn't had, or was had from one who died holding it.
#[derive(thiserror::Error)]
pub enum LockError<G> {
    /// It is had, and here is the guard; but its last owner died (or panicked) while holding it, so what it protects may be
    /// half changed. Put that in order and call `mark_consistent`: else the next one is told again.
    #[error("lock in good order: its last owner died while holding it; check what it protects, and mark it consistent")]
    OwnerDied(G),
    /// The limit has passed.
    #[error("lock: it wasn't let go of within the limit")]
    TimedOut,
    /// Somebody else has it, and it wasn't to be waited for.
    #[error("lock: somebody else has it")]
    Busy,
    /// As many wait or hold as there is room for.
    #[error("lock: {0} have or await it already; that is the most")]
    Crowded(usize),
    /// The handle belongs to the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// The thread that sleeps for futures can't be started.
    #[error("wait for a lock: {0}")]
    System(#[source] io::Error),
}

impl<G> LockError<G> {
    /// The guard, if there is one: the lock is had, whatever became of its last owner.
    ///
    /// # Errors
    ///
    /// The error itself, if the lock isn't had.
    pub fn into_guard(self) -> Result<G, Self> {
        match self {
            Self::OwnerDied(guard) => Ok(guard),
            other => Err(other),
        }
    }

    /// The same without the guard, which is dropped: as an error to hand on, that outlives the lock.
    ///
    /// ```
    /// use shm::{arena::Arena, lock::{Lock, LockError}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let lock = Lock::create(&Arena::create(4096)?, 1u8)?;
    /// let guard = lock.lock().map_err(LockError::without_guard)?;
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn without_guard(self) -> LockError<()> {
        self.map(drop)
    }

    pub(super) fn map<H>(self, with: impl FnOnce(G) -> H) -> LockError<H> {
        match self {
            Self::OwnerDied(guard) => LockError::OwnerDied(with(guard)),
            Self::TimedOut => LockError::TimedOut,
            Self::Busy => LockError::Busy,
            Self::Crowded(most) => LockError::Crowded(most),
            Self::Forked(forked) => LockError::Forked(forked),
            Self::System(error) => LockError::System(error),
        }
    }
}

/// Without what it protects.
impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnerDied(_) => "OwnerDied(..)",
            Self::TimedOut => "TimedOut",
            Self::Busy => "Busy",
            Self::Crowded(_) => "Crowded",
            Self::Forked(_) => "Forked",
            Self::System(_) => "System",
        })
    }
}

/// Something can't be let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Nobody holds it.
    #[error("release a lock: nobody holds it")]
    NotLocked,
    /// A guard holds it, which will release it.
    #[error("release a lock that a guard holds: only one that was kept (`Guard::keep`) can be released without it")]
    Guarded,
    /// Another thread or process holds it, and only the holder may release it.
    #[error("release a lock: this thread isn't the one that holds it")]
    NotOwner,
    /// A semaphore has as many permits as it may have, and nobody kept one.
    #[error("release a semaphore: it has all {0} permits that it may have, and none of them was kept")]
    TooMany(u32),
    /// The handle belongs to the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}

/// What was waited for didn't come.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The limit has passed.
    #[error("wait: it didn't happen within the limit")]
    TimedOut,
    /// The handle belongs to the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// The thread that sleeps for futures can't be started.
    #[error("wait in a task: {0}")]
    System(#[source] io::Error),
}

/// The parties of a barrier don't come together.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// One of them died there, gave up, or called `abort`; or somebody called `reset` meanwhile.
    #[error("wait at a barrier: it is broken, because one of its parties died, gave up or aborted; reset it")]
    Broken,
    /// The limit has passed, and with that the barrier is broken for the others.
    #[error("wait at a barrier: the others didn't come within the limit, and so it is broken for them too")]
    TimedOut,
    /// The handle belongs to the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}
