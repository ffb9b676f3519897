//! A set of rings and other descriptors.

use std::{
    collections::BTreeMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{event::epoll, io::Errno};

use super::timespec;
use crate::{
    call,
    doorbell::{self, Doorbell},
    fork::{Birthplace, Forked},
    ring::{Frame, ReadError, Reader},
};

/// Waits for many rings and other descriptors at once, with one doorbell for all of the rings.
///
/// ```
/// use shm::{ring::{Info, Policy, Reader, RingOptions, Wish, Writer}, wait::WaitSet, wire::Socket};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: 16 })?;
/// # let (ours, session) = Socket::pair()?;
/// # writer.port().add(ours)?;
/// let mut set = WaitSet::new()?;
/// let camera = set.add(Reader::connect(session, set.bell(), Wish { policy: Policy::Latest, leases: 1 })?)?;
/// let (input, output) = std::io::pipe()?;
/// let input = set.watch(input)?;
/// # writer.port().service();
/// # writer.reserve(2)?.publish(Info::default());
/// for ready in set.wait(Duration::from_secs(10))? {
///     assert_eq!(ready, camera); // and nobody has written to the pipe
///     let frame = set.try_next(camera)?.expect("one was published");
///     assert_eq!(frame.sequence(), 1);
/// }
/// # drop((input, output));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct WaitSet {
    birthplace: Birthplace,
    bell: Doorbell,
    epoll: OwnedFd,
    next_key: u64,
    readers: BTreeMap<Key, Member>,
    others: BTreeMap<Key, OwnedFd>,
}

/// Which one of a [`WaitSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

#[derive(Debug)]
struct Member {
    reader: Reader,
    /// What [`WaitSet::try_next`] has to say first.
    failure: Option<ReadError>,
}

/// A set can't take something in, or can't wait.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The reader was connected with another doorbell, so this set wouldn't hear it.
    #[error("add a reader to a set: it was connected with another doorbell than `set.bell()`")]
    OtherBell(Box<Reader>),
    /// This is a forked process, and the set its parent's.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// The system failed us.
    #[error("wait for rings and descriptors: {0}")]
    System(#[from] io::Error),
}

const BELL: u64 = 0;

impl WaitSet {
    /// An empty set.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    pub fn new() -> Result<Self, WaitError> {
        let bell = Doorbell::new()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?;
        epoll::add(&epoll, bell.event(), epoll::EventData::new_u64(BELL), doorbell::EDGE)
            .map_err(call::failed("epoll_ctl"))?;
        Ok(Self {
            birthplace: Birthplace::here(),
            bell,
            epoll,
            next_key: BELL + 1,
            readers: BTreeMap::new(),
            others: BTreeMap::new(),
        })
    }

    /// What to connect readers with.
    #[must_use]
    pub fn bell(&self) -> &Doorbell {
        &self.bell
    }

    /// Takes a reader in.
    ///
    /// # Errors
    ///
    /// [`WaitError::OtherBell`] gives back a reader that was connected with another doorbell.
    pub fn add(&mut self, reader: Reader) -> Result<Key, WaitError> {
        if reader.bell().as_fd().as_raw_fd() != self.bell.as_fd().as_raw_fd() {
            return Err(WaitError::OtherBell(Box::new(reader)));
        }
        let key = self.add_descriptor(&reader)?;
        self.readers.insert(key, Member { reader, failure: None });
        Ok(key)
    }

    /// Takes in any other descriptor: it is ready when it can be read without waiting.
    ///
    /// # Errors
    ///
    /// If it can't be waited for (a plain file can't), or the kernel has no memory.
    pub fn watch(&mut self, descriptor: impl Into<OwnedFd>) -> Result<Key, WaitError> {
        let descriptor = descriptor.into();
        let key = self.add_descriptor(&descriptor)?;
        self.others.insert(key, descriptor);
        Ok(key)
    }

    fn add_descriptor(&mut self, descriptor: &impl AsFd) -> Result<Key, WaitError> {
        self.birthplace.check()?;
        let key = Key(self.next_key);
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(key.0), epoll::EventFlags::IN)
            .map_err(call::failed("epoll_ctl"))?;
        self.next_key += 1;
        Ok(key)
    }

    /// Lets go of a reader.
    pub fn remove(&mut self, key: Key) -> Option<Reader> {
        let member = self.readers.remove(&key)?;
        self.forget(&member.reader);
        Some(member.reader)
    }

    /// Lets go of another descriptor.
    pub fn unwatch(&mut self, key: Key) -> Option<OwnedFd> {
        let descriptor = self.others.remove(&key)?;
        self.forget(&descriptor);
        Some(descriptor)
    }

    fn forget(&self, descriptor: impl AsFd) {
        // A forked child has the same epoll as its parent.
        if self.birthplace.is_here() {
            let _ = epoll::delete(&self.epoll, descriptor);
        }
    }

    /// A reader of the set.
    pub fn reader(&mut self, key: Key) -> Option<&mut Reader> {
        self.readers.get_mut(&key).map(|member| &mut member.reader)
    }

    /// A descriptor of the set that isn't a ring's.
    #[must_use]
    pub fn descriptor(&self, key: Key) -> Option<&OwnedFd> {
        self.others.get(&key)
    }

    /// The next frame of a reader, as [`Reader::try_next`]; `None` also for a key that isn't one.
    ///
    /// # Errors
    ///
    /// As `try_next`.
    pub fn try_next(&mut self, key: Key) -> Result<Option<Frame>, ReadError> {
        let Some(member) = self.readers.get_mut(&key) else { return Ok(None) };
        match member.failure.take() {
            Some(failure) => Err(failure),
            None => member.reader.try_next(),
        }
    }

    /// Waits until something is ready, and says what; nothing when `limit` is over.
    ///
    /// A reader is ready when [`try_next`](Self::try_next) gives a frame or an error. Its writer's end is such an error, and
    /// stays one: take the reader out then. (For a [`Policy::MaxRate`](crate::ring::Policy::MaxRate) reader it may turn out
    /// that the new frame isn't due; then it gives `None`.)
    ///
    /// # Errors
    ///
    /// If the kernel can't wait. What is wrong with one ring is said by `try_next`, and harms no other.
    pub fn wait(&mut self, limit: Duration) -> Result<Vec<Key>, WaitError> {
        self.birthplace.check()?;
        let end = Instant::now().checked_add(limit);
        loop {
            // Descriptors that are ready all the time mustn't keep the rings from their turn, nor these them.
            let quiet = self.readers.values().all(|member| !member.is_ready() && member.reader.arm());
            let left =
                if quiet { end.map(|end| end.saturating_duration_since(Instant::now())) } else { Some(Duration::ZERO) };
            let mut ready = self.sleep(left)?;
            ready.extend(self.readers.iter().filter(|(_, member)| member.is_ready()).map(|(key, _)| *key));
            let is_over = end.is_some_and(|end| Instant::now() >= end);
            if !ready.is_empty() || is_over && left == Some(Duration::ZERO) {
                ready.sort_unstable();
                ready.dedup();
                return Ok(ready);
            }
        }
    }

    /// Sleeps until the bell rings or a descriptor is ready, and gives those that aren't rings'.
    fn sleep(&mut self, limit: Option<Duration>) -> Result<Vec<Key>, WaitError> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
        let limit = limit.map(timespec);
        let events = match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(call::failed("epoll_wait")(errno).into()),
        };
        let mut ready = Vec::new();
        for key in events.iter().map(|event| Key(event.data.u64())) {
            match self.readers.get_mut(&key) {
                Some(member) => member.failure = member.reader.service().err().or(member.failure.take()),
                None if self.others.contains_key(&key) => ready.push(key),
                None => {} // the bell
            }
        }
        Ok(ready)
    }
}

impl Member {
    fn is_ready(&self) -> bool {
        self.failure.is_some() || self.reader.is_ready()
    }
}
