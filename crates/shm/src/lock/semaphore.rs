//! Up to n at a time.

use std::time::{Duration, Instant};

use super::{
    ReleaseError, WaitError,
    kind::{self, travels},
    permits::{self, ABSENT, KEPT, Permits},
};
use crate::{
    arena::{Arena, ArenaError, Members, Owner, Place, SLICE},
    attendant::{self, Watch},
    fork::Forked,
    sync::{AtomicU32, Ordering},
};

/// A number of permits. The permits of a process that dies come back.
///
/// ```
/// use shm::{arena::Arena, lock::{ReleaseError, Semaphore, WaitError}};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let semaphore = Semaphore::create_bounded(&Arena::create(4096)?, 2)?;
/// let one = semaphore.acquire()?;
/// semaphore.acquire()?.keep(); // without a permit in hand
/// assert!(semaphore.try_acquire()?.is_none());
/// assert!(matches!(semaphore.acquire_for(Duration::from_millis(1)), Err(WaitError::TimedOut)));
/// semaphore.release()?; // anybody may
/// drop(one);
/// assert_eq!(semaphore.available(), 2);
/// assert_eq!(semaphore.release(), Err(ReleaseError::TooMany(2)));
/// # Ok(()) }
/// ```
pub struct Semaphore {
    place: Place,
}

/// A permit; dropped, it is given back.
#[derive(Debug)]
#[must_use = "dropped at once, it is given back at once"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    index: usize,
}

/// How many permits an unbounded semaphore may come to have, unless it began with more.
const UNBOUNDED: u32 = 1024;
const GATE_AT: usize = 0;
/// 1 if there are never more permits than at first.
const BOUNDED_AT: usize = 4;
const PERMITS_AT: usize = 128;

impl Semaphore {
    /// Makes one with `permits` permits. Releases beyond that add to them, up to 1024 or `permits`, whichever is more. Each
    /// takes four bytes, and is looked at one by one: thousands cost microseconds.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena, permits: u32) -> Result<Self, ArenaError> {
        Self::create_with(arena, permits, permits.max(UNBOUNDED), false)
    }

    /// Makes one that never has more than `permits` permits: to release one too many is an error.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn create_bounded(arena: &Arena, permits: u32) -> Result<Self, ArenaError> {
        Self::create_with(arena, permits, permits, true)
    }

    fn create_with(arena: &Arena, permits: u32, most: u32, bounded: bool) -> Result<Self, ArenaError> {
        let place = arena.allocate(kind::SEMAPHORE, PERMITS_AT.saturating_add((most as usize).saturating_mul(4)))?;
        let semaphore = Self { place };
        semaphore.place.word32(BOUNDED_AT).store(u32::from(bounded), Ordering::Relaxed);
        semaphore.permits().skip(permits as usize).for_each(|permit| permit.store(ABSENT, Ordering::Relaxed));
        Ok(semaphore)
    }

    fn opened(place: Place) -> Option<Self> {
        Some(Self { place })
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// [`WaitError::Forked`] in a forked child.
    pub fn acquire(&self) -> Result<Permit<'_>, WaitError> {
        self.acquire_until(None)
    }

    /// Waits for a permit, for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`WaitError::TimedOut`].
    pub fn acquire_for(&self, limit: Duration) -> Result<Permit<'_>, WaitError> {
        self.acquire_until(Instant::now().checked_add(limit))
    }

    fn acquire_until(&self, until: Option<Instant>) -> Result<Permit<'_>, WaitError> {
        self.place.arena().born().check()?;
        let index = permits::acquire(self, self.place.arena(), until).ok_or(WaitError::TimedOut)?;
        Ok(Permit { semaphore: self, index })
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a forked child.
    pub fn try_acquire(&self) -> Result<Option<Permit<'_>>, Forked> {
        self.place.arena().born().check()?;
        Ok(permits::try_acquire(self, self.place.arena()).map(|index| Permit { semaphore: self, index }))
    }

    /// Waits for a permit in a task. Dropping the future is safe at any time: a permit that became free for it goes to
    /// another one who waits.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire), and [`WaitError::System`] if no thread can be started to sleep for futures.
    pub async fn acquire_async(&self) -> Result<Permit<'_>, WaitError> {
        /// Dropped while it waits, it may have been woken for nothing.
        struct Waiting<'a>(&'a Semaphore);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                if self.0.place.arena().born().is_here() && self.0.available() > 0 {
                    permits::signal(self.0);
                }
            }
        }
        self.place.arena().born().check()?;
        if let Some(permit) = self.try_acquire()? {
            return Ok(permit);
        }
        let waiting = Waiting(self);
        let index = attendant::retry(|| {
            permits::attempt(self, self.place.arena()).map_err(|expected| Watch {
                arena: self.place.arena().clone(),
                words: vec![(self.place.offset_of(GATE_AT), expected)],
                owner: None,
                until: Some(Instant::now() + SLICE),
            })
        })
        .await
        .map_err(WaitError::System)?;
        std::mem::forget(waiting);
        Ok(Permit { semaphore: self, index })
    }

    /// Makes a permit available: one that this process [kept](Permit::keep); else one that another kept; else one more than
    /// there were. What a [`Permit`] holds, only that gives back.
    ///
    /// # Errors
    ///
    /// [`ReleaseError::TooMany`] if nobody kept one, and there may be no more than there are.
    pub fn release(&self) -> Result<(), ReleaseError> {
        self.place.arena().born().check()?;
        if permits::release(self, self.place.arena()) { Ok(()) } else { Err(ReleaseError::TooMany(self.most())) }
    }

    /// How many permits are available at this moment, with those of the dead.
    #[must_use]
    pub fn available(&self) -> u32 {
        let arena = self.place.arena();
        let available = |word: &&AtomicU32| match word.load(Ordering::Relaxed) {
            0 => true,
            now => Owner::of(now).is_some_and(|owner| arena.is_dead(owner)),
        };
        self.permits().filter(available).count() as u32
    }

    /// Whether there are never more permits than at first.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.place.word32(BOUNDED_AT).load(Ordering::Relaxed) == 1
    }

    fn most(&self) -> u32 {
        ((self.place.bytes() - PERMITS_AT) / 4) as u32
    }
}

impl Permits for Semaphore {
    fn permits(&self) -> impl Iterator<Item = &AtomicU32> {
        (PERMITS_AT..self.place.bytes()).step_by(4).map(|at| self.place.word32(at))
    }
    fn gate(&self) -> &AtomicU32 {
        self.place.word32(GATE_AT)
    }
}

impl Permit<'_> {
    /// Holds it without a value, until [`Semaphore::release`], or until this process dies.
    pub fn keep(self) {
        // Relaxed: what is handed on is handed on by the release.
        let me = self.semaphore.place.arena().me().word();
        let _ = self.word().compare_exchange(me, me | KEPT, Ordering::Relaxed, Ordering::Relaxed);
        std::mem::forget(self);
    }

    /// Uses it up: there is one permit less from now on, also after this process's death. So a semaphore counts what one
    /// process makes and another takes.
    pub fn spend(self) {
        // Relaxed: nothing is handed on with a permit that isn't there.
        let me = self.semaphore.place.arena().me().word();
        let _ = self.word().compare_exchange(me, ABSENT, Ordering::Relaxed, Ordering::Relaxed);
        std::mem::forget(self);
    }

    fn word(&self) -> &AtomicU32 {
        self.semaphore.place.word32(PERMITS_AT + self.index * 4)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let arena = self.semaphore.place.arena();
        if arena.born().is_here() {
            permits::release_one(self.semaphore, self.word(), arena.me());
        }
    }
}

travels!(Semaphore, kind::SEMAPHORE, PERMITS_AT);
