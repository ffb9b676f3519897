//! Where n parties wait for each other.

use std::time::{Duration, Instant};

use super::{
    BarrierError,
    kind::{self, travels},
    mutex,
    rounds::{self, Arrived, REMEMBERED, Round, Rounds},
};
use crate::{
    arena::{Arena, ArenaError, Members, Place},
    fork::Forked,
    futex::Outcome,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// A point that no party passes before all have come to it. It can be used again and again.
///
/// A party that dies *while it waits there* breaks the barrier, and the others are told. One that dies on its way there
/// can't be told from one that is slow, since nobody knows who the parties are: so wait with a limit.
///
/// ```
/// use shm::{arena::Arena, lock::{Barrier, BarrierError}};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let barrier = Barrier::create(&Arena::create(8192)?, 2)?;
/// let same = barrier.clone();
/// let other = std::thread::spawn(move || same.wait());
/// let ours = barrier.wait()?;
/// assert_eq!(ours + other.join().expect("it doesn't panic")?, 1); // one came as number 0, one as number 1
///
/// assert!(matches!(barrier.wait_for(Duration::from_millis(1)), Err(BarrierError::TimedOut)));
/// assert!(matches!(barrier.wait(), Err(BarrierError::Broken)));
/// barrier.reset()?;
/// # Ok(()) }
/// ```
pub struct Barrier {
    place: Place,
}

const LOCK_AT: usize = 0;
const ROUND_AT: usize = 4;
const BROKEN_AT: usize = 8;
const FAILED_AT: usize = 128;
const ARRIVALS_AT: usize = FAILED_AT + REMEMBERED as usize / 8;

impl Barrier {
    /// Makes one for `parties` (at least one).
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    ///
    /// # Panics
    ///
    /// If `parties` is 0.
    pub fn create(arena: &Arena, parties: u32) -> Result<Self, ArenaError> {
        assert!(parties > 0, "a barrier needs a party");
        let bytes = ARRIVALS_AT.saturating_add((parties as usize).saturating_mul(8));
        Ok(Self { place: arena.allocate(kind::BARRIER, bytes)? })
    }

    fn opened(place: Place) -> Option<Self> {
        Some(Self { place })
    }

    /// Waits for the others, and says as which one this came: 0 for the first, up to one less than the parties.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`], [`BarrierError::Forked`] in a forked child.
    pub fn wait(&self) -> Result<usize, BarrierError> {
        self.wait_until(None, || true, || true)
    }

    /// Waits for the others for at most `limit`. If that passes, the barrier is broken.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`BarrierError::TimedOut`].
    pub fn wait_for(&self, limit: Duration) -> Result<usize, BarrierError> {
        self.wait_until(Instant::now().checked_add(limit), || true, || true)
    }

    /// As [`wait`](Self::wait), for at most `limit`, and only for as long as `go_on` says so, which is asked some forty times a
    /// second. When it says no, that is as if the limit had passed. Whoever comes last calls `last` before anybody goes on; if that
    /// says no, the barrier is broken. Meanwhile all other calls wait.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_while(
        &self,
        limit: Option<Duration>,
        go_on: impl FnMut() -> bool,
        last: impl FnOnce() -> bool,
    ) -> Result<usize, BarrierError> {
        self.wait_until(limit.and_then(|limit| Instant::now().checked_add(limit)), go_on, last)
    }

    fn wait_until(
        &self,
        until: Option<Instant>,
        mut go_on: impl FnMut() -> bool,
        last: impl FnOnce() -> bool,
    ) -> Result<usize, BarrierError> {
        let arena = self.place.arena();
        arena.born().check()?;
        let (index, arrived) = self.locked(|| {
            let is_last = !self.is_broken() && rounds::waiting(self) + 1 == Rounds::parties(self);
            if is_last && !last() {
                rounds::end(self, self.round().load(Ordering::Relaxed), false);
            }
            rounds::arrive(self, arena)
        });
        let round = match arrived {
            Arrived::Last => return Ok(index),
            Arrived::Broken => return Err(BarrierError::Broken),
            Arrived::Waits(round) => round,
        };
        let mut late = false;
        loop {
            match rounds::look(self, arena, round) {
                Round::Over => return Ok(index),
                Round::Broken => return Err(BarrierError::Broken),
                Round::Lost => drop(self.locked(|| rounds::end(self, round, false))),
                Round::Filling if late => {
                    if self.locked(|| rounds::end(self, round, false)) {
                        return Err(BarrierError::TimedOut);
                    }
                }
                Round::Filling => {
                    late = arena.wait_a_while(self.round(), round, until) == Outcome::TimedOut || !go_on();
                }
            }
        }
    }

    /// Breaks it: who waits is told, and so is who comes, until it is [reset](Self::reset).
    ///
    /// # Errors
    ///
    /// [`Forked`] in a forked child.
    pub fn abort(&self) -> Result<(), Forked> {
        self.place.arena().born().check()?;
        self.locked(|| rounds::end(self, self.round().load(Ordering::Relaxed), false));
        Ok(())
    }

    /// Begins anew. Who waits is told that it broke.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a forked child.
    pub fn reset(&self) -> Result<(), Forked> {
        self.place.arena().born().check()?;
        self.locked(|| rounds::reset(self));
        Ok(())
    }

    /// How many it is for.
    #[must_use]
    pub fn parties(&self) -> usize {
        Rounds::parties(self)
    }

    /// How many wait at this moment.
    #[must_use]
    pub fn waiting(&self) -> usize {
        if self.is_broken() { 0 } else { rounds::waiting(self) }
    }

    /// Whether it is broken at this moment.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken().load(Ordering::Relaxed) != 0
    }

    /// Runs `change` under the barrier's own lock. Its owner may have died in the middle of a change: each is made so that the
    /// next one simply goes on.
    fn locked<T>(&self, change: impl FnOnce() -> T) -> T {
        let arena = self.place.arena();
        // Without a limit it comes: who holds it is in here, for microseconds, or dead.
        let _ = mutex::lock(self.place.word32(LOCK_AT), arena, None);
        let changed = change();
        mutex::unlock(self.place.word32(LOCK_AT), arena.me(), 1);
        changed
    }
}

impl Rounds for Barrier {
    fn round(&self) -> &AtomicU32 {
        self.place.word32(ROUND_AT)
    }
    fn broken(&self) -> &AtomicU32 {
        self.place.word32(BROKEN_AT)
    }
    fn failed(&self, word: usize) -> &AtomicU32 {
        self.place.word32(FAILED_AT + word * 4)
    }
    fn arrival(&self, index: usize) -> &AtomicU64 {
        self.place.word64(ARRIVALS_AT + index * 8)
    }
    fn parties(&self) -> usize {
        (self.place.bytes() - ARRIVALS_AT) / 8
    }
}

travels!(Barrier, kind::BARRIER, ARRIVALS_AT + 8);
