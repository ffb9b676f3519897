//! A lock that its holder can take again.

use std::{
    cell::Cell,
    marker::PhantomData,
    sync::atomic::AtomicU64 as Counter,
    time::{Duration, Instant},
};

use super::{
    LockError, ReleaseError,
    kind::{self, travels},
    mutex::{self, INCONSISTENT, Taken},
};
use crate::{
    arena::{Arena, ArenaError, Members, Owner, Place},
    sync::Ordering,
};

/// A lock between processes that the thread which holds it can take again; it is free when it was let go of as often.
///
/// ```
/// use shm::{arena::Arena, lock::{LockError, RLock, ReleaseError}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = RLock::create(&Arena::create(4096)?)?;
/// let outer = lock.lock().map_err(LockError::without_guard)?;
/// let inner = lock.try_lock().map_err(LockError::without_guard)?;
/// drop((inner, outer));
/// assert_eq!(lock.release(), Err(ReleaseError::NotOwner));
/// # Ok(()) }
/// ```
pub struct RLock {
    place: Place,
}

/// The lock is had once more; dropped, it is let go of once.
#[derive(Debug)]
#[must_use = "dropped at once, it lets go of the lock at once"]
pub struct RGuard<'a> {
    lock: &'a RLock,
    /// It belongs to a thread.
    here: PhantomData<*const ()>,
}

const THREAD_AT: usize = 8;
const COUNT_AT: usize = 16;
const BYTES: usize = 24;

impl RLock {
    /// Makes one that nobody holds.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena) -> Result<Self, ArenaError> {
        Ok(Self { place: arena.allocate(kind::RLOCK, BYTES)? })
    }

    fn opened(place: Place) -> Option<Self> {
        Some(Self { place })
    }

    /// Takes it, and waits for that if another thread or process has it.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if its last owner died; [`LockError::Forked`] in a forked child.
    pub fn lock(&self) -> Result<RGuard<'_>, LockError<RGuard<'_>>> {
        self.take(|| mutex::lock(self.place.word32(0), self.place.arena(), None).ok_or(LockError::TimedOut))
    }

    /// As [`lock`](Self::lock), for at most `limit`.
    ///
    /// # Errors
    ///
    /// As there, and [`LockError::TimedOut`].
    pub fn lock_for(&self, limit: Duration) -> Result<RGuard<'_>, LockError<RGuard<'_>>> {
        let until = Instant::now().checked_add(limit);
        self.take(|| mutex::lock(self.place.word32(0), self.place.arena(), until).ok_or(LockError::TimedOut))
    }

    /// Takes it if no other thread or process has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::Busy`].
    pub fn try_lock(&self) -> Result<RGuard<'_>, LockError<RGuard<'_>>> {
        self.take(|| mutex::try_take(self.place.word32(0), self.place.arena()).map_err(|_| LockError::Busy))
    }

    fn take<'a>(
        &'a self,
        take: impl FnOnce() -> Result<Taken, LockError<RGuard<'a>>>,
    ) -> Result<RGuard<'a>, LockError<RGuard<'a>>> {
        self.place.arena().born().check()?;
        let (thread, count) = (self.place.word64(THREAD_AT), self.place.word32(COUNT_AT));
        let guard = RGuard { lock: self, here: PhantomData };
        if self.is_mine() {
            // Nobody else changes these while it is ours.
            count.store(count.load(Ordering::Relaxed).saturating_add(1), Ordering::Relaxed);
            return Ok(guard);
        }
        std::mem::forget(guard); // nothing to let go of yet
        let taken = take()?;
        thread.store(self.me(), Ordering::Relaxed);
        count.store(1, Ordering::Relaxed);
        let guard = RGuard { lock: self, here: PhantomData };
        if taken == Taken::Inconsistent { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
    }

    /// Lets go of it once, for a guard that was [kept](RGuard::keep).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotOwner`] if this thread doesn't hold it.
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.place.arena().born().check()?;
        if !self.is_mine() {
            return Err(ReleaseError::NotOwner);
        }
        let count = self.place.word32(COUNT_AT);
        let left = count.load(Ordering::Relaxed).saturating_sub(1);
        count.store(left, Ordering::Relaxed);
        if left == 0 {
            self.place.word64(THREAD_AT).store(0, Ordering::Relaxed);
            mutex::unlock(self.place.word32(0), self.place.arena().me(), 1);
        }
        Ok(())
    }

    /// How often this thread holds it.
    #[must_use]
    pub fn held(&self) -> u32 {
        if self.is_mine() { self.place.word32(COUNT_AT).load(Ordering::Relaxed) } else { 0 }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Lets go of it altogether, for as long as a condition is waited for. The caller has it; how often is the answer.
    pub(super) fn suspend(&self) -> u32 {
        let count = self.place.word32(COUNT_AT).swap(0, Ordering::Relaxed);
        self.place.word64(THREAD_AT).store(0, Ordering::Relaxed);
        mutex::unlock(self.place.word32(0), self.place.arena().me(), 1);
        count
    }

    /// Has it again, as before [`suspend`](Self::suspend). The caller has just taken the word.
    pub(super) fn resume(&self, count: u32) {
        self.place.word64(THREAD_AT).store(self.me(), Ordering::Relaxed);
        self.place.word32(COUNT_AT).store(count, Ordering::Relaxed);
    }

    pub(super) fn is_mine(&self) -> bool {
        let owner = Owner::of(self.place.word32(0).load(Ordering::Relaxed));
        // Only this thread stores its own number there, so it sees it exactly while it holds the lock.
        owner == Some(self.place.arena().me()) && self.place.word64(THREAD_AT).load(Ordering::Relaxed) == self.me()
    }

    /// This thread, as no other of any member is called: a dead process's traces are never taken for ours.
    fn me(&self) -> u64 {
        u64::from(self.place.arena().me().word()) << 32 | u64::from(thread_number())
    }
}

/// A number that no other thread of this process has (until 4 billion threads have been).
fn thread_number() -> u32 {
    static NUMBERED: Counter = Counter::new(0);
    thread_local! {
        static NUMBER: Cell<u32> = const { Cell::new(0) };
    }
    if NUMBER.get() == 0 {
        NUMBER.set(NUMBERED.fetch_add(1, Ordering::Relaxed) as u32 + 1);
    }
    NUMBER.get()
}

impl RGuard<'_> {
    /// What is protected is in order again: the next owner isn't told of the death any more.
    pub fn mark_consistent(&mut self) {
        self.lock.place.word32(0).fetch_and(!INCONSISTENT, Ordering::Relaxed);
    }

    /// Holds the lock without this guard, until this thread calls [`RLock::release`], or this process dies.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for RGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && self.lock.place.arena().born().is_here() {
            self.lock.place.word32(0).fetch_or(INCONSISTENT, Ordering::Relaxed);
        }
        let _ = self.lock.release();
    }
}

travels!(RLock, kind::RLOCK, BYTES);
