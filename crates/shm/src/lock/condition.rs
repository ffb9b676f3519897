//! Waiting, with a lock, for others to change what it protects.

use std::time::{Duration, Instant};

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Guard, Lock, LockError, kind,
    waiters::{self, Seen, Waiters},
};
use crate::{
    arena::{Address, ArenaError, Members, Place, SLICE},
    attendant::{self, Watch},
    futex::Outcome,
    sync::{AtomicU32, AtomicU64},
};

/// How those who hold a [`Lock`] wait until another one, who holds it then, notifies them.
///
/// It keeps a record of each who waits. Who dies waiting is in nobody's way, and a notification that a dying one got goes
/// to the next. If somebody dies *holding the lock*, there may be a change that nobody was notified of. Then one is told,
/// whoever has the lock first, and be it one who waits: put things in order, and call [`notify_all`](Self::notify_all).
///
/// A wait ends when it was notified, with its limit, or for such a death. Look again in any case: between the notification
/// and the lock others may have changed what is protected.
///
/// ```
/// use shm::{arena::Arena, lock::{Condition, Lock, LockError}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::create(&Arena::create(16384)?, 0u32)?;
/// let condition = Condition::create(&lock)?;
/// let (their_lock, theirs) = (lock.clone(), condition.clone());
/// let other = std::thread::spawn(move || {
///     let mut guard = their_lock.lock().expect("nobody died");
///     *guard = 5;
///     theirs.notify_all(&guard);
/// });
/// let mut guard = lock.lock().map_err(LockError::without_guard)?;
/// while *guard == 0 {
///     guard = condition.wait(guard).map_err(LockError::without_guard)?;
/// }
/// assert_eq!(*guard, 5);
/// # drop(guard);
/// # other.join().expect("it doesn't panic");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Condition<T> {
    lock: Lock<T>,
    records: Records,
}

/// Where a condition's records stand.
#[derive(Clone, Debug)]
pub(super) struct Records(pub Place);

/// What a wait with a limit ends with: the guard, and whether it was notified.
pub type Waited<'a, T> = Result<(Guard<'a, T>, bool), LockError<(Guard<'a, T>, bool)>>;

/// How many can wait at once.
pub(super) const MAX_WAITERS: usize = 256;
const LAST_AT: usize = 0;
const RECORDS_AT: usize = 128;
const RECORD_BYTES: usize = 16;
const BYTES: usize = RECORDS_AT + MAX_WAITERS * RECORD_BYTES;

impl<T: Pod> Condition<T> {
    /// Makes one for that lock. It takes some 4 KiB, and 256 can wait at once.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the lock's arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(lock: &Lock<T>) -> Result<Self, ArenaError> {
        Ok(Self { lock: lock.clone(), records: Records::create(lock.place())? })
    }

    /// The lock that it is for.
    #[must_use]
    pub fn lock(&self) -> &Lock<T> {
        &self.lock
    }

    /// Lets go of the lock, waits to be notified, and takes the lock again.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if somebody died holding the lock meanwhile; look at what it protects then:
    /// the wait may have been notified by the one who died. [`LockError::Crowded`] if 256 wait already; the lock is let go of.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub fn wait<'a>(&self, guard: Guard<'a, T>) -> Result<Guard<'a, T>, LockError<Guard<'a, T>>> {
        self.wait_until(guard, None).map(|(guard, _)| guard).map_err(|error| error.map(|(guard, _)| guard))
    }

    /// As [`wait`](Self::wait), for at most `limit`; says whether it was notified. Having the lock again may take longer.
    ///
    /// # Errors
    ///
    /// As there, with the same beside the guard.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub fn wait_for<'a>(&self, guard: Guard<'a, T>, limit: Duration) -> Waited<'a, T> {
        self.wait_until(guard, Instant::now().checked_add(limit))
    }

    fn wait_until<'a>(&self, guard: Guard<'a, T>, until: Option<Instant>) -> Waited<'a, T> {
        let lock = guard.of();
        let (index, arena) = (self.enlist(guard)?, self.records.0.arena());
        loop {
            match waiters::look(&self.records, arena, lock.place().word32(0), index) {
                Seen::Notified | Seen::Orphaned => break,
                Seen::Lost => self.sweep(lock.lock())?,
                Seen::Waiting(state) => {
                    if arena.wait_a_while(self.records.state(index), state, until) == Outcome::TimedOut {
                        break;
                    }
                }
            }
        }
        self.delist(index, lock.lock())
    }

    /// As [`wait`](Self::wait), in a task. If the future is dropped, the wait is given up, without the lock: a notification
    /// that it got already goes to another one who waits.
    ///
    /// # Errors
    ///
    /// As there, and [`LockError::System`] if no thread can be started to sleep for futures.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub async fn wait_async<'a>(&self, guard: Guard<'a, T>) -> Result<Guard<'a, T>, LockError<Guard<'a, T>>> {
        /// Dropped while it waits, its record is anybody's to free.
        struct Waiting<'c, T: Pod>(&'c Condition<T>, usize);
        impl<T: Pod> Drop for Waiting<'_, T> {
            fn drop(&mut self) {
                if self.0.records.0.arena().born().is_here() {
                    waiters::abandon(&self.0.records, self.1);
                }
            }
        }
        let lock = guard.of();
        let without = |error: LockError<(Guard<'a, T>, bool)>| error.map(|(guard, _)| guard);
        let (index, arena) = (self.enlist(guard).map_err(without)?, self.records.0.arena());
        let waiting = Waiting(self, index);
        loop {
            let seen = attendant::retry(|| match waiters::look(&self.records, arena, lock.place().word32(0), index) {
                Seen::Waiting(state) => Err(Watch {
                    arena: arena.clone(),
                    words: vec![(self.records.0.offset_of(state_at(index)), state)],
                    owner: None,
                    until: Some(Instant::now() + SLICE),
                }),
                seen => Ok(seen),
            });
            let seen = seen.await.map_err(LockError::System)?;
            if matches!(seen, Seen::Notified | Seen::Orphaned) {
                break;
            }
            self.sweep(lock.lock_async().await).map_err(without)?;
        }
        let locked = lock.lock_async().await;
        let ended = self.delist(index, locked);
        std::mem::forget(waiting);
        ended.map(|(guard, _)| guard).map_err(without)
    }

    /// Notifies one who waits, if anybody does: the one who has waited longest.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub fn notify_one(&self, guard: &Guard<'_, T>) {
        self.notify(guard, 1);
    }

    /// Notifies all who wait.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub fn notify_all(&self, guard: &Guard<'_, T>) {
        self.notify(guard, MAX_WAITERS);
    }

    /// Notifies up to `count` of those who wait, longest first, and says how many it were. It waits for none of them.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    pub fn notify(&self, guard: &Guard<'_, T>, count: usize) -> usize {
        self.check(guard);
        waiters::notify(&self.records, self.records.0.arena(), count)
    }

    /// How many living ones wait and haven't been notified yet.
    ///
    /// # Panics
    ///
    /// If the guard is another lock's.
    #[must_use]
    pub fn waiting(&self, guard: &Guard<'_, T>) -> usize {
        self.check(guard);
        waiters::waiting(&self.records, self.records.0.arena())
    }

    fn enlist<G>(&self, guard: Guard<'_, T>) -> Result<usize, LockError<G>> {
        self.check(&guard);
        waiters::enlist(&self.records, self.records.0.arena()).ok_or(LockError::Crowded(MAX_WAITERS))
    }

    fn delist<'a>(&self, index: usize, locked: Result<Guard<'a, T>, LockError<Guard<'a, T>>>) -> Waited<'a, T> {
        match locked {
            Ok(guard) => Ok((guard, waiters::delist(&self.records, index))),
            Err(error) => Err(error.map(|guard| (guard, waiters::delist(&self.records, index)))),
        }
    }

    fn sweep<'a, G>(&self, locked: Result<Guard<'a, T>, LockError<Guard<'a, T>>>) -> Result<(), LockError<G>> {
        // Dropped without being marked consistent, the guard tells the next one too.
        match locked.or_else(LockError::into_guard) {
            Ok(_guard) => waiters::sweep(&self.records, self.records.0.arena()),
            Err(error) => return Err(error.map(|_| unreachable!("a guard would have been taken out"))),
        }
        Ok(())
    }

    fn check(&self, guard: &Guard<'_, T>) {
        let (ours, theirs) = (self.lock.place(), guard.of().place());
        let same = ours.offset_of(0) == theirs.offset_of(0) && ours.arena().id() == theirs.arena().id();
        assert!(same, "a guard of another lock than the condition's");
    }
}

fn state_at(index: usize) -> usize {
    RECORDS_AT + index * RECORD_BYTES + 4
}

impl Records {
    pub(super) fn create(lock: &Place) -> Result<Self, ArenaError> {
        lock.arena().allocate(kind::CONDITION, BYTES).map(Self)
    }
}

impl Waiters for Records {
    fn count(&self) -> usize {
        MAX_WAITERS
    }
    fn owner(&self, index: usize) -> &AtomicU32 {
        self.0.word32(RECORDS_AT + index * RECORD_BYTES)
    }
    fn state(&self, index: usize) -> &AtomicU32 {
        self.0.word32(state_at(index))
    }
    fn ticket(&self, index: usize) -> &AtomicU64 {
        self.0.word64(RECORDS_AT + index * RECORD_BYTES + 8)
    }
    fn last(&self) -> &AtomicU64 {
        self.0.word64(LAST_AT)
    }
}

impl<T> Clone for Condition<T> {
    fn clone(&self) -> Self {
        Self { lock: self.lock.clone(), records: self.records.clone() }
    }
}

impl<T> Serialize for Condition<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.lock, &self.records).serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for Condition<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (lock, records) = Deserialize::deserialize(deserializer)?;
        Ok(Self { lock, records })
    }
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.address().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Address::deserialize(deserializer)?.open(kind::CONDITION, BYTES)?))
    }
}
