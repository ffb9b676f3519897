//! What a process says unasked, as its parent gets it.

use std::{
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde::de::DeserializeOwned;
use shm::wire::Packet;

use crate::{
    CallError,
    connection::{Connection, lock},
    wakers::{Place, Wakers},
};

/// What happens when a process says more than anybody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Of so many unread events the oldest is dropped, and counted: for what is soon out of date.
    DropOldest(usize),
    /// Of so many unread events the first ones stay; what comes then is dropped, and counted.
    DropNewest(usize),
    /// With so many unread events the process waits in [`Context::emit`](crate::Context::emit) until some are read, or
    /// until it is to stop: for what mustn't be lost. Those of an incarnation that dies stay to be read.
    Wait(usize),
}

impl Default for Overflow {
    fn default() -> Self {
        Self::DropOldest(1024)
    }
}

/// The unread events of a process, over all its incarnations.
#[derive(Debug)]
pub(crate) struct EventQueue {
    overflow: Overflow,
    inner: Mutex<Inner>,
    came: Condvar,
    wakers: Arc<Wakers>,
    listener: Mutex<Option<Listener>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with the incarnation that said it.
    events: VecDeque<(u64, Packet)>,
    dropped: u64,
    /// How many of an incarnation's were read that it hasn't been told of. Two at most have an entry.
    read: Vec<(u64, u64)>,
    over: bool,
}

impl Inner {
    fn owe(&mut self, incarnation: u64, count: u64) {
        match self.read.iter_mut().find(|(of, _)| *of == incarnation) {
            Some((_, read)) => *read += count,
            None => self.read.push((incarnation, count)),
        }
    }
}

/// Whoever gets a process's events as they come.
pub(crate) struct Listener(pub Box<dyn Fn(Packet) + Send>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl EventQueue {
    pub(crate) fn new(overflow: Overflow) -> Self {
        let (inner, came, wakers, listener) = Default::default();
        Self { overflow, inner, came, wakers, listener }
    }

    /// How many events a new incarnation may say before some are read. If `former` has ended, what it said and nobody has
    /// read counts, and is given back as it is read; one that is only being replaced keeps a credit of its own.
    pub(crate) fn credit(&self, incarnation: u64, former: Option<u64>) -> Option<u64> {
        let Overflow::Wait(most) = self.overflow else { return None };
        if lock(&self.listener).is_some() {
            return Some(UNLIMITED);
        }
        let mut inner = lock(&self.inner);
        inner.read.retain(|(of, _)| Some(*of) != former);
        let mut unread = 0;
        for (of, _) in inner.events.iter_mut().filter(|(of, _)| Some(*of) == former) {
            *of = incarnation;
            unread += 1;
        }
        Some((most as u64).saturating_sub(unread))
    }

    /// Whether the process may be waiting for somebody to read what it has said.
    pub(crate) fn holds_up(&self) -> bool {
        matches!(self.overflow, Overflow::Wait(most) if lock(&self.inner).events.len() >= most)
    }

    /// From now on `hear` gets the events, beginning with those that nobody has read yet.
    pub(crate) fn listen(&self, connection: &Connection, hear: Listener) {
        let mut listener = lock(&self.listener);
        // What came before; under the lock, so that what comes now comes after it.
        let unread = std::mem::take(&mut lock(&self.inner).events);
        unread.into_iter().for_each(|(_, event)| hear.0(event));
        *listener = Some(hear);
        drop(listener);
        if matches!(self.overflow, Overflow::Wait(_)) {
            // What is heard at once is never unread. If that can't be told now, nothing was said yet.
            for incarnation in connection.speaking() {
                connection.tell_read(incarnation, UNLIMITED);
            }
        }
    }

    /// An event of an incarnation has come, after `lost` that didn't.
    pub(crate) fn put(&self, incarnation: u64, event: Packet, lost: u64, connection: &Connection) {
        let listener = lock(&self.listener);
        if let Some(hear) = &*listener {
            return hear.0(event);
        }
        // Still under its lock: whoever begins to listen now gets this one too.
        let mut inner = lock(&self.inner);
        inner.dropped = inner.dropped.saturating_add(lost); // it is the process that says so
        match self.overflow {
            Overflow::DropOldest(most) if inner.events.len() >= most => {
                inner.events.pop_front();
                inner.dropped += 1;
                inner.events.push_back((incarnation, event));
            }
            Overflow::DropNewest(most) if inner.events.len() >= most => inner.dropped += 1,
            _ => inner.events.push_back((incarnation, event)),
        }
        drop(listener);
        self.came.notify_one();
        self.tell(inner, incarnation, connection);
        self.wakers.wake_all();
    }

    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.over = true;
        drop(inner);
        self.came.notify_all();
        self.wakers.wake_all();
    }

    /// Tells an incarnation what was read of it, if it waits for that: not of each single one.
    fn tell(&self, mut inner: std::sync::MutexGuard<'_, Inner>, incarnation: u64, connection: &Connection) {
        let Overflow::Wait(most) = self.overflow else { return };
        let Some(index) = inner.read.iter().position(|(of, _)| *of == incarnation) else { return };
        let has_unread = |inner: &Inner| inner.events.iter().any(|(of, _)| *of == incarnation);
        if (inner.read[index].1 as usize) < most / 2 && has_unread(&inner) {
            return;
        }
        let (_, read) = inner.read.swap_remove(index);
        drop(inner);
        if !connection.tell_read(incarnation, read) {
            lock(&self.inner).owe(incarnation, read);
        }
    }

    /// An incarnation can be told now what was read of it before.
    pub(crate) fn opened(&self, incarnation: u64, connection: &Connection) {
        self.tell(lock(&self.inner), incarnation, connection);
    }

    fn take(&self, limit: Duration, connection: &Connection) -> Option<Packet> {
        let inner = lock(&self.inner);
        let wait = |inner: &mut Inner| inner.events.is_empty() && !inner.over;
        let (mut inner, _) = self.came.wait_timeout_while(inner, limit, wait).unwrap_or_else(PoisonError::into_inner);
        let (incarnation, event) = inner.events.pop_front()?;
        if matches!(self.overflow, Overflow::Wait(_)) {
            inner.owe(incarnation, 1);
        }
        self.tell(inner, incarnation, connection);
        Some(event)
    }

    /// Whether there is one, or never will be; else `waker` is woken when that changes.
    pub(crate) fn poll(&self, place: &mut Place, waker: &Waker) -> bool {
        let is_ready = || {
            let inner = lock(&self.inner);
            !inner.events.is_empty() || inner.over
        };
        is_ready() || {
            place.take(&self.wakers, waker);
            is_ready() // by now
        }
    }
}

/// More than any process says in its life.
const UNLIMITED: u64 = u64::MAX / 2;

/// What a process says unasked, in order, over all its incarnations. What happens to what nobody reads is its
/// [`Overflow`] policy.
#[derive(Debug)]
pub struct Events<E> {
    connection: Arc<Connection>,
    kind: PhantomData<fn() -> E>,
}

impl<E> Events<E> {
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
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
        let Some(event) = self.connection.events.take(limit, &self.connection) else { return Ok(None) };
        let name = || self.connection.name.clone();
        event.decode().map(Some).map_err(|error| CallError::BadMessage { name: name(), why: error.to_string() })
    }

    /// Awaits the next event, under any runtime; `None` when there will never be another one. Dropping it loses none.
    pub fn next(&self) -> EventFuture<'_, E> {
        EventFuture { events: self, place: Place::default() }
    }

    /// How many events were dropped because nobody read them, by its parent or, where the line to it was full, by the
    /// process itself.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.connection.events.inner).dropped
    }
}

/// The next event, being awaited.
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct EventFuture<'e, E> {
    events: &'e Events<E>,
    place: Place,
}

impl<E: DeserializeOwned> Future for EventFuture<'_, E> {
    type Output = Result<Option<E>, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let events = self.events;
        if !events.connection.events.poll(&mut self.place, cx.waker()) {
            return Poll::Pending;
        }
        match events.next_for(Duration::ZERO) {
            // Somebody else took it in between.
            Ok(None) if !lock(&events.connection.events.inner).over => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            next => Poll::Ready(next),
        }
    }
}
