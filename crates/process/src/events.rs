//! What a process says unasked, as its parent gets it.

mod accounts;
mod listener;

use std::{
    collections::VecDeque,
    marker::PhantomData,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde::de::DeserializeOwned;
use shm::wire::Packet;

use self::accounts::Accounts;
pub(crate) use self::listener::Listener;
use crate::{
    CallError,
    connection::{Connection, lock},
    wakers::{Place, Wakers},
};

/// What happens when a process says more than anybody reads. The number is at least 1; 0 is taken for that.
///
/// Where events are dropped, those that wait are bounded in memory too: by 64 MiB, where each descriptor in an event counts
/// as 256 KiB. A single event that is larger is kept, alone. With [`Wait`](Self::Wait), the number and how large the
/// process's events are is the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Of so many unread events the oldest is dropped, and counted: for what is soon out of date.
    DropOldest(usize),
    /// Of so many unread events the first ones stay; what comes then is dropped, and counted.
    DropNewest(usize),
    /// With so many unread events the process waits in [`Context::emit`](crate::Context::emit) until some are read, or
    /// until it is to stop: for what mustn't be lost. Those of an incarnation that dies stay to be read, and count for its
    /// successor. One that says more in [`Process::start`](crate::Process::start) isn't ready until they are read.
    Wait(usize),
}

/// As much memory may wait to be read, whatever the number of events: they may be large ones.
const UNREAD_BYTES: usize = 64 << 20;
/// What a descriptor counts as: what it stands for isn't known, but a process can't have too many of them.
const DESCRIPTOR_BYTES: usize = 256 << 10;

pub(crate) fn weight(event: &Packet) -> usize {
    event.bytes.len() + event.descriptors.len() * DESCRIPTOR_BYTES
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
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with the incarnation that said it.
    events: VecDeque<(u64, Packet)>,
    /// What they weigh.
    bytes: usize,
    dropped: u64,
    /// Of a process that waits for them to be read by somebody who doesn't listen.
    accounts: Accounts,
    /// Who gets them in place of all who read. The supervisor has it hear them, and nobody else, so they are heard in order.
    listener: Option<Arc<Listener>>,
    over: bool,
}

impl Inner {
    fn push(&mut self, incarnation: u64, event: Packet) {
        self.bytes += weight(&event);
        self.events.push_back((incarnation, event));
    }

    fn pop(&mut self) -> Option<(u64, Packet)> {
        let next = self.events.pop_front()?;
        self.bytes -= weight(&next.1);
        Some(next)
    }

    /// Whether there is one for those who read: they get none while somebody listens.
    fn has_next(&self) -> bool {
        self.listener.is_none() && !self.events.is_empty()
    }

    /// Whether there is no room for this one beside those that wait.
    fn is_full_for(&self, event: &Packet, most: usize) -> bool {
        !self.events.is_empty() && (self.events.len() >= most || self.bytes + weight(event) > UNREAD_BYTES)
    }
}

impl EventQueue {
    pub(crate) fn new(overflow: Overflow) -> Self {
        let overflow = match overflow {
            Overflow::DropOldest(most) => Overflow::DropOldest(most.max(1)),
            Overflow::DropNewest(most) => Overflow::DropNewest(most.max(1)),
            Overflow::Wait(most) => Overflow::Wait(most.max(1)),
        };
        let (inner, came, wakers) = Default::default();
        Self { overflow, inner, came, wakers }
    }

    /// How many events may be unread before their process waits; `None`: it doesn't.
    fn most_waited_for(&self) -> Option<u64> {
        if let Overflow::Wait(most) = self.overflow { Some(most as u64) } else { None }
    }

    /// How many events a new incarnation may say before some are read. What those before it have said and nobody has read
    /// counts, and is given back as it is read. Only one `besides` it may still live, and keeps a credit of its own.
    pub(crate) fn credit(&self, incarnation: u64, besides: Option<u64>) -> Option<u64> {
        let most = self.most_waited_for()?;
        let mut inner = lock(&self.inner);
        if inner.listener.is_some() {
            return Some(UNLIMITED);
        }
        let ended = inner.events.iter_mut().filter(|(of, _)| Some(*of) != besides);
        ended.for_each(|(of, _)| *of = incarnation);
        Some(inner.accounts.inherit(incarnation, besides, most))
    }

    /// Whether this incarnation may be waiting for somebody to read what it has said.
    pub(crate) fn holds_up(&self, incarnation: u64) -> bool {
        self.most_waited_for().is_some_and(|most| lock(&self.inner).accounts.has_said_all(incarnation, most))
    }

    /// From now on `hear` gets the events, beginning with those that nobody has read yet. The supervisor is to be told
    /// ([`hear_all`](Self::hear_all)).
    pub(crate) fn listen(&self, connection: &Connection, hear: Listener) {
        let mut inner = lock(&self.inner);
        let former = inner.listener.replace(Arc::new(hear));
        inner.accounts = Accounts::default();
        if self.most_waited_for().is_some() {
            // What is heard at once is never unread.
            for incarnation in connection.speaking() {
                connection.tell_read(incarnation, UNLIMITED);
            }
        }
        drop(inner);
        drop(former); // other people's code, under no lock
    }

    /// The supervisor's: has the listener, if there is one, hear all that is there. No lock is held meanwhile, as it may ask
    /// anything of the process.
    pub(crate) fn hear_all(&self, process: &str) {
        loop {
            let mut inner = lock(&self.inner);
            let Some(listener) = inner.listener.clone() else { return };
            let Some((_, event)) = inner.pop() else { return };
            drop(inner);
            listener.hear(process, event);
        }
    }

    /// The supervisor's: an event of an incarnation has come, after `lost` that didn't.
    pub(crate) fn put(&self, incarnation: u64, event: Packet, lost: u64, process: &str) {
        let mut inner = lock(&self.inner);
        inner.dropped = inner.dropped.saturating_add(lost); // it is the process that says so
        if inner.listener.is_some() {
            inner.push(incarnation, event);
            drop(inner);
            return self.hear_all(process);
        }
        match self.overflow {
            Overflow::DropOldest(most) => {
                while inner.is_full_for(&event, most) && inner.pop().is_some() {
                    inner.dropped += 1;
                }
            }
            Overflow::DropNewest(most) if inner.is_full_for(&event, most) => {
                inner.dropped += 1;
                return;
            }
            Overflow::DropNewest(_) => {}
            Overflow::Wait(_) => inner.accounts.came(incarnation),
        }
        inner.push(incarnation, event);
        drop(inner);
        self.came.notify_one();
        self.wakers.wake_all();
    }

    /// So many events of an incarnation are lost, the last of which came and couldn't be received.
    pub(crate) fn lose(&self, incarnation: u64, count: u64, connection: &Connection) {
        let mut inner = lock(&self.inner);
        inner.dropped = inner.dropped.saturating_add(count);
        if self.most_waited_for().is_some() && inner.listener.is_none() {
            // It doesn't wait to be read.
            inner.accounts.came(incarnation);
            inner.accounts.read(incarnation);
            self.tell(&mut inner, incarnation, connection);
        }
    }

    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.over = true;
        drop(inner);
        self.came.notify_all();
        self.wakers.wake_all();
    }

    /// An incarnation can be told now what was read before: of what its predecessors had said, or that somebody listens.
    pub(crate) fn launched(&self, incarnation: u64, connection: &Connection) {
        if self.most_waited_for().is_none() {
            return;
        }
        let mut inner = lock(&self.inner);
        match inner.listener {
            Some(_) => _ = connection.tell_read(incarnation, UNLIMITED),
            None => self.tell(&mut inner, incarnation, connection),
        }
    }

    /// Tells an incarnation what was read of it, if that is worth a message. Under the lock, so that nothing is told twice, or
    /// between two chairs.
    fn tell(&self, inner: &mut Inner, incarnation: u64, connection: &Connection) {
        let due = self.most_waited_for().and_then(|most| inner.accounts.due(incarnation, most));
        if due.is_some_and(|read| connection.tell_read(incarnation, read)) {
            inner.accounts.told(incarnation);
        }
    }

    fn take(&self, limit: Duration, connection: &Connection) -> Option<Packet> {
        let inner = lock(&self.inner);
        let wait = |inner: &mut Inner| !inner.has_next() && !inner.over;
        let (mut inner, _) = self.came.wait_timeout_while(inner, limit, wait).unwrap_or_else(PoisonError::into_inner);
        if !inner.has_next() {
            return None;
        }
        let (incarnation, event) = inner.pop()?;
        if self.most_waited_for().is_some() {
            inner.accounts.read(incarnation);
            self.tell(&mut inner, incarnation, connection);
        }
        Some(event)
    }

    /// Whether there is one, or never will be; else `waker` is woken when that changes.
    pub(crate) fn poll(&self, place: &mut Place, waker: &Waker) -> bool {
        let is_ready = || {
            let inner = lock(&self.inner);
            inner.has_next() || inner.over
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: usize, descriptors: usize) -> Packet {
        let null = shm::wire::Passed::new(std::fs::File::open("/dev/null").unwrap());
        Packet { bytes: vec![0; bytes], descriptors: vec![null; descriptors] }
    }

    /// How many are kept of many such.
    fn kept(overflow: Overflow, bytes: usize, descriptors: usize) -> (usize, u64) {
        let queue = EventQueue::new(overflow);
        (0..1000).for_each(|_| queue.put(1, event(bytes, descriptors), 0, "it"));
        let inner = lock(&queue.inner);
        assert_eq!(inner.bytes, inner.events.iter().map(|(_, event)| weight(event)).sum::<usize>());
        (inner.events.len(), inner.dropped)
    }

    #[test]
    fn what_is_unread_is_bounded_by_number_bytes_and_descriptors() {
        for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
            assert_eq!(kept(overflow(100), 1, 0), (100, 900));
            assert_eq!(kept(overflow(0), 1, 0), (1, 999));
            assert_eq!(kept(overflow(5000), UNREAD_BYTES / 10, 0), (10, 990));
            assert_eq!(kept(overflow(5000), 0, 4), (64, 936));
            // Larger than all that may be, but it would never come otherwise.
            assert_eq!(kept(overflow(5000), 0, 300), (1, 999));
        }
        assert_eq!(kept(Overflow::Wait(5000), 0, 4), (1000, 0), "none is lost");
    }
}
