//! Many readers or one writer.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use bytemuck::Pod;

use super::{
    LockError, ReleaseError,
    kind::{self, travels},
    mutex::{INCONSISTENT, Taken},
    shared::{self, Refused, Shared},
};
use crate::{
    arena::{Arena, ArenaError, MAX_MEMBERS, Members, Owner, Place},
    sync::{AtomicU32, Ordering},
};

/// What many may read at once, and one may change at a time. A writer that waits is preferred to readers that come.
///
/// A dead reader is simply gone. A dead writer is told to whoever reads or writes next, until a writer has
/// marked it consistent. To read costs less than to write, which has to look at a record of every member: take a
/// [`Lock`](super::Lock) where most are writers.
///
/// ```
/// use shm::{arena::Arena, lock::{LockError, RwLock}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = RwLock::create(&Arena::create(16384)?, 7i64)?;
/// let one = lock.try_read().map_err(LockError::without_guard)?;
/// let other = lock.try_read().map_err(LockError::without_guard)?;
/// assert_eq!(*one + *other, 14);
/// assert!(matches!(lock.try_write(), Err(LockError::Busy)));
/// drop((one, other));
/// *lock.try_write().map_err(LockError::without_guard)? += 1;
/// # Ok(()) }
/// ```
pub struct RwLock<T> {
    place: Place,
    of: PhantomData<fn() -> T>,
}

/// It may be read; dropped, that ends.
#[must_use = "dropped at once, it lets go of the lock at once"]
pub struct ReadGuard<'a, T: Pod>(&'a RwLock<T>);

/// It may be changed; dropped, that ends.
#[must_use = "dropped at once, it lets go of the lock at once"]
pub struct WriteGuard<'a, T: Pod>(&'a RwLock<T>);

const RECORDS_AT: usize = 128;
const VALUE_AT: usize = RECORDS_AT + MAX_MEMBERS as usize * 4;

impl<T: Pod> RwLock<T> {
    const BYTES: usize = {
        assert!(align_of::<T>() <= 128, "objects in an arena are aligned to 128 bytes");
        VALUE_AT + size_of::<T>()
    };

    /// Makes one that nobody holds. It takes some 4 KiB more than the value.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena, value: T) -> Result<Self, ArenaError> {
        let lock = Self { place: arena.allocate(kind::RWLOCK, Self::BYTES)?, of: PhantomData };
        // SAFETY: nobody else has heard of this place yet.
        unsafe { lock.place.bytes_mut(VALUE_AT, size_of::<T>()) }.copy_from_slice(bytemuck::bytes_of(&value));
        Ok(lock)
    }

    fn opened(place: Place) -> Option<Self> {
        (place.bytes() == Self::BYTES).then_some(Self { place, of: PhantomData })
    }

    /// Waits until nobody writes, nor waits for that.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if a writer died; [`LockError::Crowded`] if this process reads 65,535 times
    /// already; [`LockError::Forked`] in a forked child.
    pub fn read(&self) -> Result<ReadGuard<'_, T>, LockError<ReadGuard<'_, T>>> {
        self.read_until(None)
    }

    /// As [`read`](Self::read), for at most `limit`.
    ///
    /// # Errors
    ///
    /// As there, and [`LockError::TimedOut`].
    pub fn read_for(&self, limit: Duration) -> Result<ReadGuard<'_, T>, LockError<ReadGuard<'_, T>>> {
        self.read_until(Instant::now().checked_add(limit))
    }

    fn read_until(&self, until: Option<Instant>) -> Result<ReadGuard<'_, T>, LockError<ReadGuard<'_, T>>> {
        self.place.arena().born().check()?;
        match shared::read(self, self.place.arena(), until) {
            Ok(Some(taken)) => told(ReadGuard(self), taken),
            Ok(None) => Err(LockError::TimedOut),
            Err(_) => Err(LockError::Crowded(u16::MAX.into())),
        }
    }

    /// Reads if nobody writes, nor waits for that.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`LockError::Busy`].
    pub fn try_read(&self) -> Result<ReadGuard<'_, T>, LockError<ReadGuard<'_, T>>> {
        self.place.arena().born().check()?;
        match shared::try_read(self, self.place.arena()) {
            Ok(taken) => told(ReadGuard(self), taken),
            Err(Refused::Writer(_)) => Err(LockError::Busy),
            Err(Refused::Crowded) => Err(LockError::Crowded(u16::MAX.into())),
        }
    }

    /// Waits until nobody reads or writes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if a writer died, or died waiting for readers; [`LockError::Forked`] in a
    /// forked child.
    pub fn write(&self) -> Result<WriteGuard<'_, T>, LockError<WriteGuard<'_, T>>> {
        self.write_until(None)
    }

    /// As [`write`](Self::write), for at most `limit`.
    ///
    /// # Errors
    ///
    /// As there, and [`LockError::TimedOut`].
    pub fn write_for(&self, limit: Duration) -> Result<WriteGuard<'_, T>, LockError<WriteGuard<'_, T>>> {
        self.write_until(Instant::now().checked_add(limit))
    }

    fn write_until(&self, until: Option<Instant>) -> Result<WriteGuard<'_, T>, LockError<WriteGuard<'_, T>>> {
        self.place.arena().born().check()?;
        let taken = shared::write(self, self.place.arena(), until).ok_or(LockError::TimedOut)?;
        told(WriteGuard(self), taken)
    }

    /// Writes if nobody reads or writes.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`LockError::Busy`].
    pub fn try_write(&self) -> Result<WriteGuard<'_, T>, LockError<WriteGuard<'_, T>>> {
        self.place.arena().born().check()?;
        let taken = shared::try_write(self, self.place.arena()).ok_or(LockError::Busy)?;
        told(WriteGuard(self), taken)
    }
}

fn told<G>(guard: G, taken: Taken) -> Result<G, LockError<G>> {
    if taken == Taken::Inconsistent { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
}

impl<T: Pod> RwLock<T> {
    /// Ends reading once, for a guard that was [kept](ReadGuard::keep).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotOwner`] if this process doesn't read.
    pub fn release_read(&self) -> Result<(), ReleaseError> {
        let arena = self.place.arena();
        arena.born().check()?;
        if shared::end_read(self, arena.me()) { Ok(()) } else { Err(ReleaseError::NotOwner) }
    }

    /// Ends writing, for a guard that was [kept](WriteGuard::keep).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotOwner`] if this process doesn't write.
    pub fn release_write(&self) -> Result<(), ReleaseError> {
        let arena = self.place.arena();
        arena.born().check()?;
        if shared::end_write(self, arena.me()) { Ok(()) } else { Err(ReleaseError::NotOwner) }
    }
}

impl<T: Pod> RwLock<T> {
    /// What is protected is in order again, for a guard that was [kept](WriteGuard::keep).
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotOwner`] if this process doesn't write.
    pub fn mark_consistent(&self) -> Result<(), ReleaseError> {
        let (arena, word) = (self.place.arena(), self.place.word32(0));
        arena.born().check()?;
        if Owner::of(word.load(Ordering::Relaxed)) != Some(arena.me()) {
            return Err(ReleaseError::NotOwner);
        }
        word.fetch_and(!INCONSISTENT, Ordering::Relaxed);
        Ok(())
    }
}

impl<T: Pod> ReadGuard<'_, T> {
    /// Reads on without this guard, until [`RwLock::release_read`], or until this process dies.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl<T: Pod> WriteGuard<'_, T> {
    /// Writes on without this guard, until [`RwLock::release_write`], or until this process dies.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// What is protected is in order again: the next one isn't told of the death any more.
    pub fn mark_consistent(&mut self) {
        self.0.place.word32(0).fetch_and(!INCONSISTENT, Ordering::Relaxed);
    }
}

impl<T: Pod> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: nobody writes while this guard lives: its process's record says that it reads.
        bytemuck::from_bytes(unsafe { self.0.place.slice(VALUE_AT, size_of::<T>()) })
    }
}

impl<T: Pod> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock for writing, and `&self` keeps it from doing so.
        bytemuck::from_bytes(unsafe { self.0.place.slice(VALUE_AT, size_of::<T>()) })
    }
}

impl<T: Pod> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock for writing; `&mut self` is the only way through it.
        bytemuck::from_bytes_mut(unsafe { self.0.place.bytes_mut(VALUE_AT, size_of::<T>()) })
    }
}

impl<T: Pod> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        let arena = self.0.place.arena();
        if arena.born().is_here() {
            let _ = shared::end_read(self.0, arena.me());
        }
    }
}

impl<T: Pod> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        let arena = self.0.place.arena();
        if !arena.born().is_here() {
            return;
        }
        if std::thread::panicking() {
            self.0.place.word32(0).fetch_or(INCONSISTENT, Ordering::Relaxed);
        }
        shared::end_write(self.0, arena.me());
    }
}

impl<T> Shared for RwLock<T> {
    fn word(&self) -> &AtomicU32 {
        self.place.word32(0)
    }
    fn record(&self, slot: u16) -> &AtomicU32 {
        self.place.word32(RECORDS_AT + usize::from(slot) * 4)
    }
    fn slots(&self) -> u16 {
        MAX_MEMBERS
    }
}

travels!(RwLock<T>, kind::RWLOCK, Self::BYTES);
