//! One place to wait for many things: answers, events and ends of processes, timers, and any other descriptor.

use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    fmt, io,
    marker::PhantomData,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime},
};
use serde::de::DeserializeOwned;
use shm::doorbell::Doorbell;

use crate::{
    Call, CallError, Changes, Events, Handle,
    changes::Stream,
    connection::{Connection, lock},
    far::after,
    wakers::Place,
};

/// Waits for a hundred processes' answers, events and ends, for timers and for foreign descriptors, in one thread.
///
/// It is itself a descriptor ([`AsFd`]) that is readable when [`wait`](Self::wait) wouldn't wait, so it fits into any other
/// event loop.
///
/// ```
/// use process::Select;
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut select = Select::new()?;
/// let tick = select.timer(Duration::from_millis(1))?;
/// let (input, output) = std::io::pipe()?;
/// let input = select.watch(input)?;
/// assert_eq!(select.wait(Duration::from_secs(10))?, Some(vec![tick]));
/// drop(output);
/// assert_eq!(select.wait(Duration::from_secs(10))?, Some(vec![input]), "it has hung up");
/// let stopper = select.stopper(); // for another thread
/// stopper.stop();
/// assert_eq!(select.wait(Duration::from_secs(10))?, None);
/// # Ok(()) }
/// ```
pub struct Select {
    epoll: OwnedFd,
    timer: OwnedFd,
    shared: Arc<Shared>,
    next_key: u64,
    sources: BTreeMap<Key, Source>,
    /// One for each source, so that whoever is given one twice knows it.
    wakers: BTreeMap<Key, Waker>,
    timers: BTreeMap<(Instant, Key), ()>,
}

/// Which one of a [`Select`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(u64);

/// A call put through a [`Select`]; [`Select::answer`] takes its answer.
#[derive(Debug)]
#[must_use = "it is what gets the answer"]
pub struct Asked<R> {
    key: Key,
    answer: PhantomData<fn() -> R>,
}

impl<R> Asked<R> {
    /// As [`Select::wait`] says it.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }
}

/// Stops a [`Select`] from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Shared>);

/// A `Select` can't be made, can't take something in, or can't wait.
#[derive(Debug, thiserror::Error)]
#[error("wait for many things: {0}")]
pub struct SelectError(#[from] io::Error);

impl From<Errno> for SelectError {
    fn from(errno: Errno) -> Self {
        Self(errno.into())
    }
}

/// What other threads reach.
#[derive(Debug)]
struct Shared {
    bell: Doorbell,
    woken: Mutex<VecDeque<Key>>,
    stopped: AtomicBool,
}

struct Waking {
    shared: Arc<Shared>,
    key: Key,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        lock(&self.shared.woken).push_back(self.key);
        self.shared.bell.ring();
    }
}

type AnyAnswer = Box<dyn Any + Send>;

enum Source {
    Call { future: Pin<Box<dyn Future<Output = AnyAnswer> + Send>>, answer: Option<AnyAnswer> },
    Events(Arc<Connection>, Place),
    End(Arc<Connection>, Place),
    Changes(Arc<Stream>, Place),
    Descriptor(OwnedFd),
    Timer { at: Instant, every: Option<Duration> },
}

impl Source {
    /// Whether it is; else `waker` is woken when it may be. Descriptors and timers are told otherwise.
    fn is_ready(&mut self, waker: &Waker) -> bool {
        match self {
            Self::Call { answer, .. } => answer.is_some(),
            Self::Events(connection, place) => connection.events.poll(place, waker),
            Self::End(connection, place) => connection.poll_end(place, waker).is_some(),
            Self::Changes(stream, place) => stream.poll(place, waker),
            Self::Descriptor(_) | Self::Timer { .. } => false,
        }
    }
}

/// The tokens of our own descriptors; keys begin after them.
const BELL: u64 = 0;
const TIMER: u64 = 1;

impl Select {
    /// One that waits for nothing yet.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left; it needs three.
    pub fn new() -> Result<Self, SelectError> {
        let (bell, epoll) = (Doorbell::new()?, epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
        let shared = Shared { bell, woken: Mutex::default(), stopped: AtomicBool::new(false) };
        let (sources, wakers, timers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { epoll, timer, shared: Arc::new(shared), next_key: TIMER + 1, sources, wakers, timers })
    }

    /// Puts a call now; its key is ready when it has an answer. [`remove`](Self::remove) cancels it.
    pub fn call<R: DeserializeOwned + Send + 'static>(&mut self, call: Call<R>) -> Asked<R> {
        let future = call.into_future();
        let future = Box::pin(async move { Box::new(future.await) as AnyAnswer });
        let key = self.insert(Source::Call { future, answer: None });
        // The first poll sends it; if it has failed already, that is an answer too.
        self.wake(key);
        self.poll_woken();
        Asked { key, answer: PhantomData }
    }

    /// The answer to a call, once its key was ready; `None` before.
    pub fn answer<R: 'static>(&mut self, asked: &Asked<R>) -> Option<Result<R, CallError>> {
        match self.sources.get_mut(&asked.key) {
            Some(Source::Call { answer: Some(_), .. }) => {}
            _ => return None,
        }
        let Some(Source::Call { answer: Some(answer), .. }) = self.take(asked.key) else { return None };
        answer.downcast().ok().map(|answer| *answer)
    }

    /// Ready while there are events to read, and when there will never be any more: take it out then.
    pub fn events<E>(&mut self, events: &Events<E>) -> Key {
        let key = self.insert(Source::Events(events.connection().clone(), Place::default()));
        self.wake(key);
        key
    }

    /// Ready when the process has ended for good, and from then on.
    pub fn end(&mut self, handle: &Handle) -> Key {
        let key = self.insert(Source::End(handle.connection.clone(), Place::default()));
        self.wake(key);
        key
    }

    /// Ready while there is a change of some process to take.
    pub fn changes(&mut self, changes: &Changes) -> Key {
        let key = self.insert(Source::Changes(changes.stream().clone(), Place::default()));
        self.wake(key);
        key
    }

    /// Ready while the descriptor can be read without waiting, or has hung up.
    ///
    /// # Errors
    ///
    /// If it can't be waited for (a plain file can't), or the kernel has no memory.
    pub fn watch(&mut self, descriptor: impl Into<OwnedFd>) -> Result<Key, SelectError> {
        let (key, descriptor) = (Key(self.next_key), descriptor.into());
        epoll::add(&self.epoll, &descriptor, epoll::EventData::new_u64(key.0), epoll::EventFlags::IN)?;
        Ok(self.insert(Source::Descriptor(descriptor)))
    }

    /// Ready once, `after` so long.
    ///
    /// # Errors
    ///
    /// If that is beyond the clock's range.
    pub fn timer(&mut self, after: Duration) -> Result<Key, SelectError> {
        self.add_timer(after, None)
    }

    /// Ready every so often. What a slow loop misses isn't made up for.
    ///
    /// # Errors
    ///
    /// If the period is zero, or beyond the clock's range.
    pub fn interval(&mut self, every: Duration) -> Result<Key, SelectError> {
        if every.is_zero() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        self.add_timer(every, Some(every))
    }

    fn add_timer(&mut self, after: Duration, every: Option<Duration>) -> Result<Key, SelectError> {
        let at = Instant::now().checked_add(after).ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from)?;
        let key = self.insert(Source::Timer { at, every });
        self.timers.insert((at, key), ());
        self.set_timer()?;
        Ok(key)
    }

    fn insert(&mut self, source: Source) -> Key {
        let key = Key(self.next_key);
        self.next_key += 1;
        let waking = Waking { shared: self.shared.clone(), key };
        self.wakers.insert(key, Waker::from(Arc::new(waking)));
        self.sources.insert(key, source);
        key
    }

    /// Lets go of something: a call is cancelled, a descriptor comes back.
    pub fn remove(&mut self, key: Key) -> Option<OwnedFd> {
        match self.take(key)? {
            Source::Descriptor(descriptor) => {
                let _ = epoll::delete(&self.epoll, &descriptor);
                Some(descriptor)
            }
            Source::Timer { at, .. } => {
                self.timers.remove(&(at, key));
                // An alarm that nobody waits for any more would ring for ever. It can't fail: the descriptor is a timer.
                let _ = self.set_timer();
                None
            }
            _ => None,
        }
    }

    /// A descriptor of those watched.
    #[must_use]
    pub fn descriptor(&self, key: Key) -> Option<&OwnedFd> {
        match self.sources.get(&key) {
            Some(Source::Descriptor(descriptor)) => Some(descriptor),
            _ => None,
        }
    }

    /// How to end the waiting from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.shared.clone())
    }

    /// Waits until something is ready, and says what: nothing when `limit` is over, and `None` once it was
    /// [stopped](Stopper::stop). What is ready and not taken care of is ready again the next time.
    ///
    /// # Errors
    ///
    /// If the kernel can't wait.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<Vec<Key>>, SelectError> {
        let end = Instant::now().checked_add(limit);
        loop {
            // Quiet before looking: what comes after the look rings again.
            self.shared.bell.quiet();
            // SYNC POINT S, with `Stopper::stop`: whoever sees the stop sees what was done before it.
            if self.shared.stopped.load(Ordering::Acquire) {
                self.shared.bell.ring(); // it stays readable
                return Ok(None);
            }
            self.poll_woken();
            let mut ready = self.ready_sources();
            ready.extend(self.due_timers()?);
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let left = if ready.is_empty() { left } else { Some(Duration::ZERO) };
            ready.extend(self.sleep(left)?);
            if !ready.is_empty() {
                ready.sort_unstable();
                ready.dedup();
                if ready.iter().any(|key| self.stays_ready(*key)) {
                    self.shared.bell.ring(); // for whoever waits for our descriptor
                }
                return Ok(Some(ready));
            }
            if left == Some(Duration::ZERO) && !self.is_woken() {
                return Ok(Some(ready));
            }
        }
    }

    fn is_woken(&self) -> bool {
        !lock(&self.shared.woken).is_empty() || self.shared.stopped.load(Ordering::Relaxed)
    }

    /// Lets calls that were woken go on.
    fn poll_woken(&mut self) {
        let woken = std::mem::take(&mut *lock(&self.shared.woken));
        for key in woken {
            let waker = self.waker(key);
            if let Some(Source::Call { future, answer: answer @ None }) = self.sources.get_mut(&key)
                && let Poll::Ready(came) = future.as_mut().poll(&mut Context::from_waker(&waker))
            {
                *answer = Some(came);
                self.shared.bell.ring();
            }
        }
    }

    fn ready_sources(&mut self) -> Vec<Key> {
        let wakers = &self.wakers;
        let is_ready = |(key, source): (&Key, &mut Source)| {
            let waker = wakers.get(key).unwrap_or(Waker::noop());
            source.is_ready(waker).then_some(*key)
        };
        self.sources.iter_mut().filter_map(is_ready).collect()
    }

    fn stays_ready(&self, key: Key) -> bool {
        let source = self.sources.get(&key);
        matches!(source, Some(Source::Call { .. } | Source::Events(..) | Source::End(..) | Source::Changes(..)))
    }

    fn due_timers(&mut self) -> Result<Vec<Key>, SelectError> {
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(((at, key), ())) = self.timers.first_key_value().filter(|((at, _), ())| *at <= now) {
            let (former, key) = (*at, *key);
            self.timers.remove(&(former, key));
            due.push(key);
            match self.sources.get_mut(&key) {
                Some(Source::Timer { at, every: Some(every) }) => {
                    // The next one that isn't over already.
                    *at = former.checked_add(*every).filter(|next| *next > now).unwrap_or(after(now, *every));
                    self.timers.insert((*at, key), ());
                }
                _ => {
                    self.take(key);
                }
            }
        }
        if !due.is_empty() {
            self.set_timer()?;
        }
        Ok(due)
    }

    /// Sets the timer's descriptor to the next one; zero disarms it.
    fn set_timer(&self) -> Result<(), SelectError> {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let next = self.timers.first_key_value().map(|((at, _), ())| {
            let left = at.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
            Timespec::try_from(left).unwrap_or(none)
        });
        let value = Itimerspec { it_interval: none, it_value: next.unwrap_or(none) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }

    /// Sleeps until something rings, and gives the descriptors that are ready.
    fn sleep(&self, limit: Option<Duration>) -> Result<Vec<Key>, SelectError> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
        // A limit beyond the clock's range is no limit.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match epoll::wait(&self.epoll, &mut events, limit.as_ref()) {
            Ok((events, _)) => {
                let keys = events.iter().map(|event| event.data.u64()).filter(|token| *token > TIMER);
                Ok(keys.map(Key).collect())
            }
            Err(Errno::INTR) => Ok(Vec::new()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn wake(&self, key: Key) {
        lock(&self.shared.woken).push_back(key);
        self.shared.bell.ring();
    }

    fn waker(&self, key: Key) -> Waker {
        self.wakers.get(&key).cloned().unwrap_or_else(|| Waker::noop().clone())
    }

    fn take(&mut self, key: Key) -> Option<Source> {
        self.wakers.remove(&key);
        self.sources.remove(&key)
    }
}

impl Stopper {
    /// Ends the present wait and all later ones.
    pub fn stop(&self) {
        // SYNC POINT S, with `Select::wait`.
        self.0.stopped.store(true, Ordering::Release);
        self.0.bell.ring();
    }
}

impl AsFd for Select {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl fmt::Debug for Select {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}
