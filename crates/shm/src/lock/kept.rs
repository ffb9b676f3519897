//! Locks as other languages have them: taken by one call, let go of by another, with a condition that knows that.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{
    Lock, LockError, RLock, ReleaseError,
    condition::{MAX_WAITERS, Records},
    mutex::{self, INCONSISTENT, KEPT, Taken},
    waiters::{self, Seen, Waiters},
};
use crate::{
    arena::{Arena, ArenaError, Members, Owner, Place},
    futex::Outcome,
    sync::{AtomicU32, Ordering},
};

/// A [`Lock`] or an [`RLock`] without guards: what is taken is held until it is released, or this process dies.
///
/// A `Lock` can be released by any process, an `RLock` by the thread that took it.
///
/// ```
/// use shm::{arena::Arena, lock::{KeptLock, LockError, ReleaseError, RLock}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = KeptLock::RLock(RLock::create(&Arena::create(4096)?)?);
/// lock.take(None)?;
/// lock.try_take()?;
/// lock.release()?;
/// lock.release()?;
/// assert_eq!(lock.release(), Err(ReleaseError::NotOwner));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum KeptLock {
    /// Not to be taken twice.
    Lock(Lock<()>),
    /// To be taken again by the thread that has it.
    RLock(RLock),
}

impl KeptLock {
    /// Makes a [`Lock`].
    ///
    /// # Errors
    ///
    /// As [`Lock::create`].
    pub fn create(arena: &Arena) -> Result<Self, ArenaError> {
        Lock::create(arena, ()).map(Self::Lock)
    }

    /// Makes an [`RLock`].
    ///
    /// # Errors
    ///
    /// As [`RLock::create`].
    pub fn create_recursive(arena: &Arena) -> Result<Self, ArenaError> {
        RLock::create(arena).map(Self::RLock)
    }

    /// Takes it, and waits for that for at most `limit`, if there is one.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] if its last owner died: it *is* taken then. [`LockError::TimedOut`], [`LockError::Forked`].
    pub fn take(&self, limit: Option<Duration>) -> Result<(), LockError<()>> {
        match (self, limit) {
            (Self::Lock(lock), None) => kept(lock.lock(), super::Guard::keep),
            (Self::Lock(lock), Some(limit)) => kept(lock.lock_for(limit), super::Guard::keep),
            (Self::RLock(lock), None) => kept(lock.lock(), super::RGuard::keep),
            (Self::RLock(lock), Some(limit)) => kept(lock.lock_for(limit), super::RGuard::keep),
        }
    }

    /// Takes it if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take), and [`LockError::Busy`].
    pub fn try_take(&self) -> Result<(), LockError<()>> {
        match self {
            Self::Lock(lock) => kept(lock.try_lock(), super::Guard::keep),
            Self::RLock(lock) => kept(lock.try_lock(), super::RGuard::keep),
        }
    }

    /// Lets go of it (once).
    ///
    /// # Errors
    ///
    /// As [`Lock::release`] and [`RLock::release`].
    pub fn release(&self) -> Result<(), ReleaseError> {
        match self {
            Self::Lock(lock) => lock.release(),
            Self::RLock(lock) => lock.release(),
        }
    }

    /// What is protected is in order again: the next owner isn't told of the death any more.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotOwner`] if it isn't this process's (an `RLock`: this thread's).
    pub fn mark_consistent(&self) -> Result<(), ReleaseError> {
        self.check_mine()?;
        self.word().fetch_and(!INCONSISTENT, Ordering::Relaxed);
        Ok(())
    }

    /// Whether this process (an `RLock`: this thread) has it.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        match self {
            Self::Lock(lock) => {
                let now = lock.place().word32(0).load(Ordering::Relaxed);
                now & KEPT != 0 && Owner::of(now) == Some(self.arena().me())
            }
            Self::RLock(lock) => lock.is_mine(),
        }
    }

    /// Whether somebody living has it at this moment, which may be over when it is told.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        Owner::of(self.word().load(Ordering::Relaxed)).is_some_and(|owner| !self.arena().is_dead(owner))
    }

    fn check_mine(&self) -> Result<(), ReleaseError> {
        self.arena().born().check()?;
        if self.is_mine() { Ok(()) } else { Err(ReleaseError::NotOwner) }
    }

    fn place(&self) -> &Place {
        match self {
            Self::Lock(lock) => lock.place(),
            Self::RLock(lock) => lock.place(),
        }
    }

    fn word(&self) -> &AtomicU32 {
        self.place().word32(0)
    }

    fn arena(&self) -> &Arena {
        self.place().arena()
    }

    /// Lets go of it altogether, for as long as a condition is waited for. The caller has it. How often?
    fn suspend(&self) -> u32 {
        match self {
            Self::Lock(lock) => {
                let me = self.arena().me();
                mutex::unlock_if(lock.place().word32(0), 1, |now| Owner::of(now) == Some(me));
                1
            }
            Self::RLock(lock) => lock.suspend(),
        }
    }

    /// Has it again, for however long that takes.
    fn resume(&self, count: u32) -> Taken {
        // Without a limit it comes.
        let taken = mutex::lock(self.word(), self.arena(), None).unwrap_or(Taken::Inconsistent);
        match self {
            Self::Lock(_) => drop(self.word().fetch_or(KEPT, Ordering::Relaxed)),
            Self::RLock(lock) => lock.resume(count),
        }
        taken
    }
}

fn kept<G>(taken: Result<G, LockError<G>>, keep: impl FnOnce(G)) -> Result<(), LockError<()>> {
    match taken {
        Ok(guard) => {
            keep(guard);
            Ok(())
        }
        Err(error) => Err(error.map(keep)),
    }
}

/// A [`Condition`](super::Condition) for a [`KeptLock`], of either kind: the same protocol, and the same deaths.
///
/// ```
/// use shm::{arena::Arena, lock::{KeptCondition, KeptLock}};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = KeptLock::create_recursive(&Arena::create(16384)?)?;
/// let condition = KeptCondition::create(&lock)?;
/// let theirs = condition.clone();
/// lock.take(None)?;
/// let other = std::thread::spawn(move || {
///     theirs.lock().take(None).expect("nobody died");
///     let notified = theirs.notify(1).expect("it has the lock");
///     theirs.lock().release().expect("it has the lock");
///     notified
/// });
/// assert!(condition.wait(None, || true)?);
/// lock.release()?;
/// assert_eq!(other.join().expect("it doesn't panic"), 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptCondition {
    lock: KeptLock,
    records: Records,
}

impl KeptCondition {
    /// Makes one for that lock. It takes some 4 KiB, and 256 can wait at once.
    ///
    /// # Errors
    ///
    /// As [`Condition::create`](super::Condition::create).
    pub fn create(lock: &KeptLock) -> Result<Self, ArenaError> {
        Ok(Self { lock: lock.clone(), records: Records::create(lock.place())? })
    }

    /// The lock that it is for.
    #[must_use]
    pub fn lock(&self) -> &KeptLock {
        &self.lock
    }

    /// Lets go of the lock, which the caller has (an `RLock` altogether, however often it has it); waits to be notified, for at
    /// most `limit`, and only for as long as `go_on` says so, which is asked some forty times a second; takes the lock again as
    /// it was. Says whether it was notified.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the same, if somebody died holding the lock meanwhile; [`LockError::Crowded`] if 256 wait
    /// already; [`LockError::Busy`] if the caller hasn't got the lock. In each case the lock is as it was.
    pub fn wait(&self, limit: Option<Duration>, mut go_on: impl FnMut() -> bool) -> Result<bool, LockError<bool>> {
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        self.lock.check_mine().map_err(|error| match error {
            ReleaseError::Forked(forked) => LockError::Forked(forked),
            _ => LockError::Busy,
        })?;
        let (arena, word) = (self.lock.arena(), self.lock.word());
        let index = waiters::enlist(&self.records, arena).ok_or(LockError::Crowded(MAX_WAITERS))?;
        let count = self.lock.suspend();
        let taken = loop {
            match waiters::look(&self.records, arena, word, index) {
                Seen::Notified | Seen::Orphaned => break self.lock.resume(count),
                Seen::Lost => {
                    self.lock.resume(count);
                    waiters::sweep(&self.records, arena);
                    self.lock.suspend();
                }
                Seen::Waiting(state) => {
                    let outcome = arena.wait_a_while(self.records.state(index), state, until);
                    if outcome == Outcome::TimedOut || !go_on() {
                        break self.lock.resume(count);
                    }
                }
            }
        };
        let notified = waiters::delist(&self.records, index);
        if taken == Taken::Inconsistent { Err(LockError::OwnerDied(notified)) } else { Ok(notified) }
    }

    /// Notifies up to `count` of those who wait, longest first, and says how many it were. It waits for none of them.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotOwner`] if the caller hasn't got the lock.
    pub fn notify(&self, count: usize) -> Result<usize, ReleaseError> {
        self.lock.check_mine()?;
        Ok(waiters::notify(&self.records, self.lock.arena(), count.min(MAX_WAITERS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena() -> Arena {
        Arena::create(65536).unwrap()
    }

    #[test]
    fn a_recursive_lock_comes_back_as_often_as_it_was_had() {
        let lock = KeptLock::create_recursive(&arena()).unwrap();
        let condition = KeptCondition::create(&lock).unwrap();
        for _ in 0..3 {
            lock.take(None).unwrap();
        }
        let theirs = condition.clone();
        let other = std::thread::spawn(move || {
            theirs.lock().take(None).unwrap(); // only while the other one waits
            while theirs.notify(1).unwrap() == 0 {
                theirs.wait(Some(Duration::from_millis(1)), || true).unwrap();
            }
            theirs.lock().release().unwrap();
        });
        assert!(condition.wait(None, || true).unwrap());
        for _ in 0..3 {
            lock.release().unwrap();
        }
        assert_eq!(lock.release(), Err(ReleaseError::NotOwner));
        other.join().unwrap();
    }

    #[test]
    fn who_has_not_got_the_lock_can_neither_wait_nor_notify() {
        for lock in [KeptLock::create(&arena()).unwrap(), KeptLock::create_recursive(&arena()).unwrap()] {
            let condition = KeptCondition::create(&lock).unwrap();
            assert!(matches!(condition.wait(None, || true), Err(LockError::Busy)));
            assert_eq!(condition.notify(1), Err(ReleaseError::NotOwner));
            assert_eq!(lock.mark_consistent(), Err(ReleaseError::NotOwner));
            lock.take(None).unwrap();
            assert!(lock.is_mine() && lock.is_locked());
            assert_eq!(condition.notify(1), Ok(0));
            assert!(!condition.wait(Some(Duration::from_millis(1)), || true).unwrap());
            assert!(!condition.wait(None, || false).unwrap(), "it was told not to go on");
            assert!(lock.is_mine());
            lock.release().unwrap();
            assert!(!lock.is_mine() && !lock.is_locked());
        }
    }
}
