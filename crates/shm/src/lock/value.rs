//! A value, and many of a kind, under a lock.

use std::{
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    time::{Duration, Instant},
};

use bytemuck::Pod;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    Guard, Lock, LockError,
    kind::{self, travels},
    mutex::{self, INCONSISTENT, Taken},
};
use crate::{
    arena::{Arena, ArenaError, Members, Place},
    sync::Ordering,
};

/// A value that processes share: a [`Lock`] that is mostly taken for one look or one change.
///
/// ```
/// use shm::{arena::Arena, lock::{LockError, Value}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let value = Value::create(&Arena::create(4096)?, 40i32)?;
/// *value.lock().map_err(LockError::without_guard)? += 1;
/// value.set(value.get()? + 1)?;
/// assert_eq!(value.get()?, 42);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Value<T>(Lock<T>);

impl<T: Pod> Value<T> {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena, value: T) -> Result<Self, ArenaError> {
        Lock::create(arena, value).map(Self)
    }

    /// Holds it, for what takes more than one look.
    ///
    /// # Errors
    ///
    /// As [`Lock::lock`].
    pub fn lock(&self) -> Result<Guard<'_, T>, LockError<Guard<'_, T>>> {
        self.0.lock()
    }

    /// Its lock, for all other ways to take it.
    #[must_use]
    pub fn as_lock(&self) -> &Lock<T> {
        &self.0
    }

    /// A copy of it.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the value, if somebody died changing it; [`LockError::Forked`] in a forked child.
    pub fn get(&self) -> Result<T, LockError<T>> {
        self.0.lock().map(|guard| *guard).map_err(|error| error.map(|guard| *guard))
    }

    /// Replaces it. That makes it whole, whoever died changing it before.
    ///
    /// # Errors
    ///
    /// [`LockError::Forked`] in a forked child.
    pub fn set(&self, value: T) -> Result<(), LockError<()>> {
        let mut guard = self.0.lock().or_else(LockError::into_guard).map_err(|error| error.map(|_| ()))?;
        *guard = value;
        guard.mark_consistent();
        Ok(())
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Serialize for Value<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Lock::deserialize(deserializer).map(Self)
    }
}

/// As many values as were made at first, under one lock.
///
/// ```
/// use shm::{arena::Arena, lock::{Array, LockError}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let array = Array::create(&Arena::create(65536)?, 1000, 0.5f32)?;
/// array.lock().map_err(LockError::without_guard)?[10..20].fill(2.0);
/// assert_eq!((array.len(), array.get(9)?, array.get(10)?), (1000, 0.5, 2.0));
/// # Ok(()) }
/// ```
pub struct Array<T> {
    place: Place,
    of: PhantomData<fn() -> T>,
}

/// All values of an array; dropped, they are let go of.
#[must_use = "dropped at once, it lets go of the lock at once"]
pub struct ArrayGuard<'a, T: Pod>(&'a Array<T>);

impl<T: Pod> Array<T> {
    const VALUES_AT: usize = {
        assert!(align_of::<T>() <= 128, "objects in an arena are aligned to 128 bytes");
        assert!(size_of::<T>() > 0, "values without a size can't be counted");
        if align_of::<T>() > 16 { align_of::<T>() } else { 16 }
    };

    /// Makes `len` values that are all `value`.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for them, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena, len: usize, value: T) -> Result<Self, ArenaError> {
        let bytes = len.saturating_mul(size_of::<T>()).saturating_add(Self::VALUES_AT);
        let array = Self { place: arena.allocate(kind::ARRAY, bytes)?, of: PhantomData };
        // SAFETY: nobody else has heard of this place yet.
        let values = unsafe { array.place.bytes_mut(Self::VALUES_AT, len * size_of::<T>()) };
        bytemuck::cast_slice_mut(values).fill(value);
        Ok(array)
    }

    fn opened(place: Place) -> Option<Self> {
        (place.bytes() - Self::VALUES_AT).is_multiple_of(size_of::<T>()).then_some(Self { place, of: PhantomData })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.place.bytes() - Self::VALUES_AT) / size_of::<T>()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they stand, aligned to 16 bytes at least, and valid for as long as any handle of this process: for those who lend
    /// them out by other rules than Rust's. To read or write there without the lock is a data race like any other.
    #[must_use]
    pub fn start(&self) -> NonNull<T> {
        self.place.start().map_addr(|at| at.saturating_add(Self::VALUES_AT)).cast()
    }

    /// Waits for all of them.
    ///
    /// # Errors
    ///
    /// As [`Lock::lock`].
    pub fn lock(&self) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.lock_until(None)
    }

    /// Waits for all of them for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Lock::lock_for`].
    pub fn lock_for(&self, limit: Duration) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.lock_until(Instant::now().checked_add(limit))
    }

    fn lock_until(&self, until: Option<Instant>) -> Result<ArrayGuard<'_, T>, LockError<ArrayGuard<'_, T>>> {
        self.place.arena().born().check()?;
        match mutex::lock(self.place.word32(0), self.place.arena(), until) {
            Some(Taken::Clean) => Ok(ArrayGuard(self)),
            Some(Taken::Inconsistent) => Err(LockError::OwnerDied(ArrayGuard(self))),
            None => Err(LockError::TimedOut),
        }
    }

    /// A copy of one of them.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] with the value, if somebody died changing any of them.
    ///
    /// # Panics
    ///
    /// If there is none at `index`.
    pub fn get(&self, index: usize) -> Result<T, LockError<T>> {
        self.lock().map(|values| values[index]).map_err(|error| error.map(|values| values[index]))
    }

    /// Replaces one of them.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDied`] if somebody died changing any of them; it is replaced all the same, and the next one is told
    /// too.
    ///
    /// # Panics
    ///
    /// If there is none at `index`.
    pub fn set(&self, index: usize, value: T) -> Result<(), LockError<()>> {
        self.lock()
            .map(|mut values| values[index] = value)
            .map_err(|error| error.map(|mut values| values[index] = value))
    }
}

impl<T: Pod> ArrayGuard<'_, T> {
    /// What is protected is in order again: the next owner isn't told of the death any more.
    pub fn mark_consistent(&mut self) {
        self.0.place.word32(0).fetch_and(!INCONSISTENT, Ordering::Relaxed);
    }
}

impl<T: Pod> Deref for ArrayGuard<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        let array = self.0;
        // SAFETY: this guard holds the lock, and `&self` keeps it from writing.
        bytemuck::cast_slice(unsafe { array.place.slice(Array::<T>::VALUES_AT, array.len() * size_of::<T>()) })
    }
}

impl<T: Pod> DerefMut for ArrayGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let array = self.0;
        // SAFETY: this guard holds the lock; `&mut self` is the only way through it.
        bytemuck::cast_slice_mut(unsafe { array.place.bytes_mut(Array::<T>::VALUES_AT, array.len() * size_of::<T>()) })
    }
}

impl<T: Pod> Drop for ArrayGuard<'_, T> {
    fn drop(&mut self) {
        let arena = self.0.place.arena();
        if !arena.born().is_here() {
            return;
        }
        if std::thread::panicking() {
            self.0.place.word32(0).fetch_or(INCONSISTENT, Ordering::Relaxed);
        }
        mutex::unlock(self.0.place.word32(0), arena.me(), 1);
    }
}

travels!(Array<T>, kind::ARRAY, Self::VALUES_AT);
