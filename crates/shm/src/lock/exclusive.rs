//! A lock with what it protects.

use std::{
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    time::{Duration, Instant},
};

use bytemuck::Pod;

use super::{
    LockError, ReleaseError,
    kind::{self, travels},
    mutex::{self, Blocked, INCONSISTENT, KEPT, Taken},
};
use crate::{
    arena::{Arena, ArenaError, Members, Owner, Place, SLICE},
    attendant::{self, Watch},
    sync::Ordering,
};

/// A lock between processes, and what it protects.
///
/// An owner that dies lets go of it: the next one gets [`LockError::OwnerDied`], with the guard in it. So does the next
/// after a guard was dropped in a panic. It belongs to a process, not to a thread: a guard may go to another thread. It
/// isn't fair: who comes at the right moment is served first.
///
/// ```
/// use shm::{arena::Arena, lock::{Lock, LockError}};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let lock = Lock::create(&Arena::create(4096)?, 1.5f64)?;
/// let mut guard = lock.lock().or_else(|error| {
///     let mut guard = error.into_guard()?; // whoever had it died: put things in order
///     *guard = 0.0;
///     guard.mark_consistent();
///     Ok::<_, LockError<_>>(guard)
/// }).map_err(LockError::without_guard)?;
/// *guard += 1.0;
/// assert!(matches!(lock.try_lock(), Err(LockError::Busy)));
/// assert!(matches!(lock.lock_for(Duration::from_millis(1)), Err(LockError::TimedOut)));
/// drop(guard);
/// assert_eq!(*lock.try_lock().map_err(LockError::without_guard)?, 2.5);
/// # Ok(()) }
/// ```
pub struct Lock<T> {
    place: Place,
    of: PhantomData<fn() -> T>,
}

/// The lock is had; dropped, it is let go of.
#[must_use = "dropped at once, it lets go of the lock at once"]
pub struct Guard<'a, T: Pod> {
    lock: &'a Lock<T>,
}

impl<T: Pod> Lock<T> {
    /// Where the value stands, behind the word.
    const VALUE_AT: usize = {
        assert!(align_of::<T>() <= 128, "objects in an arena are aligned to 128 bytes");
        if align_of::<T>() > 16 { align_of::<T>() } else { 16 }
    };
    const BYTES: usize = Self::VALUE_AT + size_of::<T>();

    /// Makes one that nobody holds.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena, value: T) -> Result<Self, ArenaError> {
        let place = arena.allocate(kind::LOCK, Self::BYTES)?;
        let lock = Self { place, of: PhantomData };
        // SAFETY: nobody else has heard of this place yet.
        unsafe { lock.place.bytes_mut(Self::VALUE_AT, size_of::<T>()) }.copy_from_slice(bytemuck::bytes_of(&value));
        Ok(lock)
    }

    fn opened(place: Place) -> Option<Self> {
        (place.bytes() == Self::BYTES).then_some(Self { place, of: PhantomData })
    }

    /// Waits for it.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the guard, if its last owner died; [`LockError::Forked`] in a forked child.
    #[inline]
    pub fn lock(&self) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.lock_until(None)
    }

    /// Waits for it for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::TimedOut`].
    pub fn lock_for(&self, limit: Duration) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        // A limit that no clock reaches is none.
        self.lock_until(Instant::now().checked_add(limit))
    }

    #[inline]
    pub(super) fn lock_until(&self, until: Option<Instant>) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.place.arena().born().check()?;
        match mutex::lock(self.place.word32(0), self.place.arena(), until) {
            Some(taken) => self.guard(taken),
            None => Err(LockError::TimedOut),
        }
    }

    /// Takes it if nobody has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::Busy`].
    #[inline]
    pub fn try_lock(&self) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.place.arena().born().check()?;
        match mutex::try_take(self.place.word32(0), self.place.arena()) {
            Ok(taken) => self.guard(taken),
            Err(_) => Err(LockError::Busy),
        }
    }

    /// Waits for it in a task. Dropping the future is safe at any time: it then doesn't have the lock, and has kept nobody
    /// from it. The first to notice a death may be held up for some milliseconds, until that is certain.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::System`] if no thread can be started to sleep for futures.
    pub async fn lock_async(&self) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.lock_async_until(None).await
    }

    /// As [`lock_async`](Self::lock_async), for at most `limit`.
    ///
    /// # Errors
    ///
    /// As there, and [`LockError::TimedOut`].
    pub async fn lock_async_for(&self, limit: Duration) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.lock_async_until(Instant::now().checked_add(limit)).await
    }

    pub(super) async fn lock_async_until(
        &self,
        until: Option<Instant>,
    ) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.place.arena().born().check()?;
        match wait_for_word(&self.place, until).await? {
            Some(taken) => self.guard(taken),
            None => Err(LockError::TimedOut),
        }
    }

    fn guard(&self, taken: Taken) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        let guard = Guard { lock: self };
        if taken == Taken::Inconsistent { Err(LockError::OwnerDied(guard)) } else { Ok(guard) }
    }

    /// Lets go of a lock that is held without a guard ([`Guard::keep`]), from any thread of any process.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::NotLocked`] if nobody holds it, [`ReleaseError::Guarded`] if a guard does.
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.place.arena().born().check()?;
        let word = self.place.word32(0);
        if mutex::unlock_if(word, 1, |now| Owner::of(now).is_some() && now & KEPT != 0) {
            return Ok(());
        }
        let free = Owner::of(word.load(Ordering::Relaxed)).is_none();
        Err(if free { ReleaseError::NotLocked } else { ReleaseError::Guarded })
    }

    /// Whether somebody living holds it at this moment, which may be over when it is told.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        Owner::of(self.place.word32(0).load(Ordering::Relaxed)).is_some_and(|owner| !self.place.arena().is_dead(owner))
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

/// Takes the lock whose word is at the begin of a place, asleep by the attendant.
pub(super) async fn wait_for_word<G>(place: &Place, until: Option<Instant>) -> Result<Option<Taken>, LockError<G>> {
    /// Dropped while it waits, it may have been woken for nothing.
    struct Waiting<'a>(&'a Place);
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            if self.0.arena().born().is_here() {
                mutex::pass_on(self.0.word32(0));
            }
        }
    }
    if let Ok(taken) = mutex::try_take(place.word32(0), place.arena()) {
        return Ok(Some(taken));
    }
    let waiting = Waiting(place);
    let mut again = false;
    let taken = attendant::retry(|| match mutex::attempt(place.word32(0), place.arena(), again) {
        Ok(taken) => Ok(Some(taken)),
        Err(_) if until.is_some_and(|until| until <= Instant::now()) => Ok(None),
        Err(Blocked { expected, owner }) => {
            again = true;
            // As for who is blocked in a thread: at least once a slice it looks by itself.
            let slice = Instant::now() + SLICE;
            Err(Watch {
                arena: place.arena().clone(),
                words: vec![(place.offset_of(0), expected)],
                owner: Some(owner),
                until: Some(until.map_or(slice, |until| until.min(slice))),
            })
        }
    })
    .await
    .map_err(LockError::System)?;
    if taken.is_some() {
        std::mem::forget(waiting);
    }
    Ok(taken)
}

impl<'a, T: Pod> Guard<'a, T> {
    /// Whose guard it is.
    pub(super) fn of(&self) -> &'a Lock<T> {
        self.lock
    }

    /// What is protected is in order again: the next owner isn't told of the death any more.
    pub fn mark_consistent(&mut self) {
        self.lock.place.word32(0).fetch_and(!INCONSISTENT, Ordering::Relaxed);
    }

    /// Whether a dead owner's traces are still there.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.lock.place.word32(0).load(Ordering::Relaxed) & INCONSISTENT == 0
    }

    /// Holds the lock without this guard, until anybody calls [`Lock::release`], or this process dies.
    pub fn keep(self) {
        let guard = ManuallyDrop::new(self);
        guard.lock.place.word32(0).fetch_or(KEPT, Ordering::Relaxed);
    }
}

impl<T: Pod> Deref for Guard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard holds the lock, and a guard is what lets one write: `&self` keeps this one from doing so.
        bytemuck::from_bytes(unsafe { self.lock.place.slice(Lock::<T>::VALUE_AT, size_of::<T>()) })
    }
}

impl<T: Pod> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard holds the lock, so nobody else has a reference; `&mut self` is the only one through it.
        bytemuck::from_bytes_mut(unsafe { self.lock.place.bytes_mut(Lock::<T>::VALUE_AT, size_of::<T>()) })
    }
}

impl<T: Pod> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let (place, arena) = (&self.lock.place, self.lock.place.arena());
        if !arena.born().is_here() {
            return; // a forked child's copy: the parent holds the lock
        }
        if std::thread::panicking() {
            place.word32(0).fetch_or(INCONSISTENT, Ordering::Relaxed);
        }
        mutex::unlock(place.word32(0), arena.me(), 1);
    }
}

impl<T: Pod + fmt::Debug> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&**self).finish()
    }
}

travels!(Lock<T>, kind::LOCK, Self::BYTES);
