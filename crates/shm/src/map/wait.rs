//! Who waits for a change, and who tells of one.
//!
//! The bell is `[rings: 31][somebody sleeps: 1]`. A sleeper sets the mark with the rings that it saw, looks at the version, and
//! sleeps on exactly that word; a change first counts the version up and then, in one step, rings and takes the mark away. So
//! there is no moment between a look and a sleep in which a change goes unheard. Who dies between those two leaves the
//! lock to be taken over: sleepers look once a slice, and take it.

use std::time::{Duration, Instant};

use super::{Map, error::MapError, memory::Memory};
use crate::{
    arena::{Members, SLICE},
    attendant::{self, Watch},
    crash,
    futex::{self, Outcome},
    sync::Ordering,
};

const SLEEPS: u32 = 1;

impl Memory {
    /// What the entries that are being written have for a stamp.
    pub(super) fn next_stamp(&self) -> u64 {
        self.version().load(Ordering::Relaxed).wrapping_add(1)
    }

    /// Something was changed. The caller has the lock.
    pub(super) fn changed(&self) {
        crash::point();
        // SYNC POINT V: who sees the version, and then has the lock, sees the change.
        self.version().store(self.next_stamp(), Ordering::Release);
        crash::point();
        let bell = self.bell();
        let rung = (bell.load(Ordering::Relaxed) & !SLEEPS).wrapping_add(2);
        // SYNC POINT V.
        if bell.swap(rung, Ordering::AcqRel) & SLEEPS != 0 {
            crash::point();
            futex::wake(bell, futex::ALL);
        }
        crash::point();
    }
}

impl Map {
    /// How often it was changed: what to hand to [`wait_changed`](Self::wait_changed). Read it *before* looking at what may
    /// change.
    ///
    /// # Errors
    ///
    /// [`MapError::Forked`] in a forked child.
    pub fn version(&self) -> Result<u64, MapError> {
        self.check()?;
        // SYNC POINT V.
        Ok(self.memory().version().load(Ordering::Acquire))
    }

    /// Waits until it was changed since it had that version, and gives the version that it has now.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let arena = shm::arena::Arena::create(shm::map::Map::ARENA_BYTES)?;
    /// # let map = shm::map::Map::create(&arena, shm::map::MapOptions::default())?;
    /// let seen = map.version()?;
    /// let others = map.clone();
    /// let other = std::thread::spawn(move || others.set("threshold", b"7"));
    /// let now = map.wait_changed(seen)?;
    /// assert_eq!((now, map.get("threshold")?.as_deref()), (seen + 1, Some(&b"7"[..])));
    /// # other.join().expect("it doesn't panic")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`MapError::Forked`] in a forked child, [`MapError::Broken`].
    pub fn wait_changed(&self, version: u64) -> Result<u64, MapError> {
        loop {
            if let Some(now) = self.wait_until(version, None)? {
                return Ok(now);
            }
        }
    }

    /// As [`wait_changed`](Self::wait_changed), for at most `limit`; `None` if it wasn't changed within that.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait_changed_for(&self, version: u64, limit: Duration) -> Result<Option<u64>, MapError> {
        // A limit that no clock reaches is none.
        match Instant::now().checked_add(limit) {
            Some(until) => self.wait_until(version, Some(until)),
            None => self.wait_changed(version).map(Some),
        }
    }

    /// As [`wait_changed`](Self::wait_changed), in a task. Dropping the future is safe at any time.
    ///
    /// # Errors
    ///
    /// As there, and [`MapError::System`] if no thread can be started to sleep for futures.
    pub async fn wait_changed_async(&self, version: u64) -> Result<u64, MapError> {
        let ended = attendant::retry(|| match self.look(version) {
            Ok(Look::Changed(now)) => Ok(Ok(now)),
            Ok(Look::Same(bell)) => Err(Watch {
                arena: self.memory().root().arena().clone(),
                words: vec![(self.memory().bell_offset(), bell)],
                owner: None,
                until: Some(Instant::now() + SLICE),
            }),
            Err(error) => Ok(Err(error)),
        });
        ended.await.map_err(MapError::System)?
    }

    fn wait_until(&self, version: u64, until: Option<Instant>) -> Result<Option<u64>, MapError> {
        loop {
            let bell = match self.look(version)? {
                Look::Changed(now) => return Ok(Some(now)),
                Look::Same(bell) => bell,
            };
            let outcome = self.memory().root().arena().wait_a_while(self.memory().bell(), bell, until);
            if outcome == Outcome::TimedOut {
                let now = self.version()?;
                return Ok((now != version).then_some(now));
            }
        }
    }

    /// Whether it was changed; if not, what to sleep on.
    fn look(&self, version: u64) -> Result<Look, MapError> {
        loop {
            // A dead owner may have changed something and not told: whoever takes the lock over does.
            match self.try_lock() {
                Ok(_) | Err(MapError::Busy) => {}
                Err(error) => return Err(error),
            }
            let bell = self.memory().bell();
            let seen = bell.load(Ordering::Relaxed);
            // SYNC POINT V: this succeeds before the ring for a change that the next line doesn't see.
            if bell.compare_exchange(seen, seen | SLEEPS, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                continue;
            }
            let now = self.version()?;
            return Ok(if now == version { Look::Same(seen | SLEEPS) } else { Look::Changed(now) });
        }
    }
}

enum Look {
    Changed(u64),
    Same(u32),
}
