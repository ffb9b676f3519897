//! What callers and the supervisor share about one process, over all its incarnations.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    marker::PhantomData,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64, atomic::Ordering},
    task::Waker,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::de::DeserializeOwned;
use shm::wire::{Packet, SendError, Socket};

use crate::{CallError, Exit};

/// Events that nobody has read yet: beyond these the oldest are dropped, and counted.
const MAX_EVENTS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    pub name: String,
    next_id: AtomicU64,
    inner: Mutex<Inner>,
    event_came: Condvar,
    listener: Mutex<Option<Listener>>,
    witness: Mutex<Option<Witness>>,
}

/// What happens to a process, for its [`Witness`].
#[derive(Debug)]
pub(crate) enum Life {
    /// An incarnation is ready.
    Opened,
    /// It has ended.
    Closed(Exit),
    /// There will be no further one.
    Over,
}

/// Whoever is told of a process's life as it goes, on the supervisor's thread: it must not wait.
pub(crate) struct Witness(pub Box<dyn Fn(Life) + Send>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// Whoever gets a process's events as they come.
pub(crate) struct Listener(pub Box<dyn Fn(Packet) + Send>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

#[derive(Debug, Default)]
struct Inner {
    socket: Option<Arc<Socket>>,
    pending: HashMap<u64, Arc<Answer>>,
    events: VecDeque<Packet>,
    events_dropped: u64,
    last_exit: Option<Exit>,
    /// There will be no further incarnation.
    over: bool,
}

/// Where one call's answer arrives.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    state: Mutex<AnswerState>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct AnswerState {
    answer: Option<Result<Packet, CallError>>,
    waker: Option<Waker>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks can leave them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answer {
    fn give(&self, answer: Result<Packet, CallError>) {
        let mut state = lock(&self.state);
        state.answer = Some(answer);
        self.came.notify_one();
        let waker = state.waker.take();
        // An executor may poll, or drop, what it wakes right here: no lock may be held.
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Waits until `end` (`None`: without limit).
    pub(crate) fn wait(&self, end: Option<Instant>) -> Option<Result<Packet, CallError>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(answer) = state.answer.take() {
                return Some(answer);
            }
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Option<Result<Packet, CallError>> {
        let mut state = lock(&self.state);
        let answer = state.answer.take();
        if answer.is_none() {
            state.waker = Some(waker.clone());
        }
        answer
    }
}

impl Connection {
    pub(crate) fn new(name: String) -> Arc<Self> {
        Arc::new(Self {
            name,
            next_id: AtomicU64::new(1),
            inner: Mutex::default(),
            event_came: Condvar::new(),
            listener: Mutex::default(),
            witness: Mutex::default(),
        })
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends, having first made a place for the answer if one is wanted. Waits until `end` for a process that doesn't
    /// read.
    pub(crate) fn send(
        &self,
        id: u64,
        packet: &Packet,
        answer: Option<Arc<Answer>>,
        end: Option<Instant>,
    ) -> Result<(), CallError> {
        let socket = {
            let mut inner = lock(&self.inner);
            let Some(socket) = inner.socket.clone() else { return Err(self.not_running(&inner)) };
            inner.pending.extend(answer.map(|answer| (id, answer)));
            socket
        };
        let sent = self.push(&socket, packet, end);
        if sent.is_err() {
            self.forget(id);
        }
        sent
    }

    fn push(&self, socket: &Socket, packet: &Packet, end: Option<Instant>) -> Result<(), CallError> {
        loop {
            match socket.try_send(packet) {
                Ok(()) => return Ok(()),
                Err(SendError::Full) => {}
                // It is dying. `close` will tell whoever waits how, in a moment.
                Err(SendError::Gone) => return Ok(()),
                Err(source) => return Err(CallError::NotSent { name: self.name.clone(), why: source.to_string() }),
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(CallError::TimedOut { name: self.name.clone() });
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            // An error here (a signal) only means another turn.
            let _ = poll(&mut [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT)], left.as_ref());
        }
    }

    fn not_running(&self, inner: &Inner) -> CallError {
        let name = self.name.clone();
        match (&inner.last_exit, inner.over) {
            (Some(how), _) => CallError::Died { name, how: how.clone() },
            (None, over) => CallError::NotRunning { name, over },
        }
    }

    /// The answer to `id` isn't wanted any more.
    pub(crate) fn forget(&self, id: u64) {
        lock(&self.inner).pending.remove(&id);
    }

    /// A new incarnation is ready for calls.
    pub(crate) fn open(&self, socket: Arc<Socket>) {
        let mut inner = lock(&self.inner);
        inner.socket = Some(socket);
        inner.last_exit = None;
        drop(inner);
        self.tell(Life::Opened);
    }

    /// From now on `witness` is told what happens to this process.
    pub(crate) fn witness(&self, witness: Witness) {
        *lock(&self.witness) = Some(witness);
    }

    fn tell(&self, life: Life) {
        if let Some(witness) = &*lock(&self.witness) {
            witness.0(life);
        }
    }

    /// The incarnation has ended: every call in flight ends too.
    pub(crate) fn close(&self, how: &Exit) {
        let mut inner = lock(&self.inner);
        inner.socket = None;
        inner.last_exit = Some(how.clone());
        let pending = std::mem::take(&mut inner.pending);
        drop(inner);
        for answer in pending.into_values() {
            answer.give(Err(CallError::Died { name: self.name.clone(), how: how.clone() }));
        }
        self.tell(Life::Closed(how.clone()));
    }

    /// There will be no further incarnation.
    pub(crate) fn end(&self) {
        lock(&self.inner).over = true;
        self.event_came.notify_all();
        self.tell(Life::Over);
    }

    pub(crate) fn answer(&self, id: u64, answer: Result<Packet, CallError>) {
        // An answer that nobody waits for any more came too late.
        let waiting = lock(&self.inner).pending.remove(&id);
        if let Some(waiting) = waiting {
            waiting.give(answer);
        }
    }

    /// From now on `hear` gets the events.
    pub(crate) fn listen(&self, hear: Listener) {
        *lock(&self.listener) = Some(hear);
    }

    pub(crate) fn event(&self, event: Packet) {
        if let Some(hear) = &*lock(&self.listener) {
            return hear.0(event);
        }
        let mut inner = lock(&self.inner);
        if inner.events.len() == MAX_EVENTS {
            inner.events.pop_front();
            inner.events_dropped += 1;
        }
        inner.events.push_back(event);
        self.event_came.notify_one();
    }
}

/// What a process says unasked, in order, over all its incarnations. At most 1,024 wait to be read; beyond that the
/// oldest are dropped, and [`dropped`](Self::dropped) counts them.
#[derive(Debug)]
pub struct Events<E> {
    connection: Arc<Connection>,
    kind: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Events<E> {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, kind: PhantomData }
    }

    /// The next event; `None` when `limit` is over, or when there will never be another one.
    ///
    /// # Errors
    ///
    /// [`CallError::BadMessage`] if the process said something that isn't an `E`.
    pub fn next_for(&self, limit: Duration) -> Result<Option<E>, CallError> {
        let inner = lock(&self.connection.inner);
        let (mut inner, _) = self
            .connection
            .event_came
            .wait_timeout_while(inner, limit, |inner| inner.events.is_empty() && !inner.over)
            .unwrap_or_else(PoisonError::into_inner);
        let Some(event) = inner.events.pop_front() else { return Ok(None) };
        drop(inner);
        let name = || self.connection.name.clone();
        event.decode().map(Some).map_err(|error| CallError::BadMessage { name: name(), why: error.to_string() })
    }

    /// How many events were dropped because nobody read them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.connection.inner).events_dropped
    }
}
