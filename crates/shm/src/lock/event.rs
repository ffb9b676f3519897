//! Something that happens, and those who wait for it.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    WaitError, flag,
    kind::{self, travels},
};
use crate::{
    arena::{Arena, ArenaError, Place},
    attendant::{self, Ringing, Watch},
    doorbell::Doorbell,
    fork::Forked,
};

/// A flag that any process can set, and that any can wait for. Setting it lets all who wait go on, also if it is cleared
/// again at once.
///
/// ```
/// use shm::{arena::Arena, lock::{Event, WaitError}};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let event = Event::create(&Arena::create(4096)?)?;
/// let same = event.clone();
/// let waits = std::thread::spawn(move || same.wait());
/// event.set()?;
/// waits.join().expect("it doesn't panic")?;
/// event.clear()?;
/// assert!(matches!(event.wait_for(Duration::from_millis(1)), Err(WaitError::TimedOut)));
/// # Ok(()) }
/// ```
pub struct Event {
    place: Place,
}

impl Event {
    /// Makes one that isn't set.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Full`] if the arena has no room for it, [`ArenaError::Forked`] in a forked child.
    pub fn create(arena: &Arena) -> Result<Self, ArenaError> {
        Ok(Self { place: arena.allocate(kind::EVENT, 4)? })
    }

    fn opened(place: Place) -> Option<Self> {
        Some(Self { place })
    }

    /// Sets it, and wakes all who wait. Somebody killed in here has done both or nothing.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a forked child.
    pub fn set(&self) -> Result<(), Forked> {
        self.place.arena().born().check()?;
        flag::set(self.place.word32(0));
        Ok(())
    }

    /// Takes it back: who comes from now on waits.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a forked child.
    pub fn clear(&self) -> Result<(), Forked> {
        self.place.arena().born().check()?;
        flag::clear(self.place.word32(0));
        Ok(())
    }

    /// Whether it is set at this moment.
    #[must_use]
    pub fn is_set(&self) -> bool {
        flag::is_set(self.place.word32(0))
    }

    /// Waits until it is set. It costs no wake-ups meanwhile.
    ///
    /// # Errors
    ///
    /// [`WaitError::Forked`] in a forked child.
    pub fn wait(&self) -> Result<(), WaitError> {
        self.wait_until(None)
    }

    /// Waits until it is set, for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`WaitError::TimedOut`].
    pub fn wait_for(&self, limit: Duration) -> Result<(), WaitError> {
        self.wait_until(Instant::now().checked_add(limit))
    }

    fn wait_until(&self, until: Option<Instant>) -> Result<(), WaitError> {
        self.place.arena().born().check()?;
        if flag::wait(self.place.word32(0), until) { Ok(()) } else { Err(WaitError::TimedOut) }
    }

    /// Has `bell` rung once, when it is set, also if it is cleared again at once; now, if it is set already. For event loops that
    /// wait on a descriptor.
    ///
    /// # Errors
    ///
    /// If no thread can be started to sleep for it; in a forked process.
    ///
    /// ```
    /// use shm::{arena::Arena, doorbell::Doorbell, lock::Event};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let event = Event::create(&Arena::create(4096)?)?;
    /// let bell = Doorbell::new()?;
    /// let ringing = event.ring_when_set(&bell)?;
    /// event.set()?;
    /// // … `poll` says that the doorbell is readable …
    /// # drop(ringing);
    /// # Ok(()) }
    /// ```
    pub fn ring_when_set(&self, bell: &Doorbell) -> io::Result<Ringing> {
        self.place.arena().born().check().map_err(io::Error::other)?;
        match flag::attempt(self.place.word32(0), flag::begin(self.place.word32(0))) {
            Ok(()) => {
                bell.ring();
                Ok(Ringing::rung())
            }
            Err(expected) => Ringing::when(self.watch(expected), bell),
        }
    }

    fn watch(&self, expected: u32) -> Watch {
        let words = vec![(self.place.offset_of(0), expected)];
        Watch { arena: self.place.arena().clone(), words, owner: None, until: None }
    }

    /// Waits in a task until it is set. Dropping the future is safe at any time.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`WaitError::System`] if no thread can be started to sleep for futures.
    pub async fn wait_async(&self) -> Result<(), WaitError> {
        self.place.arena().born().check()?;
        let began = flag::begin(self.place.word32(0));
        attendant::retry(|| flag::attempt(self.place.word32(0), began).map_err(|expected| self.watch(expected)))
        .await
        .map_err(WaitError::System)
    }
}

travels!(Event, kind::EVENT, 4);
