//! Getting items.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{
    Acknowledge, GetError, Lease, Queue, TaskDoneError,
    attempt::{self, End},
    cells::{self, Taken},
    handle::{Shared, with_room},
    lease::Hold,
    members,
    sockets::Unread,
    wait::{self, Limit},
    words::Bell,
};
use crate::{crash, wire};

impl<T: DeserializeOwned> Queue<T> {
    /// Takes the next item, and waits for one for as long as it takes. It is acknowledged when this returns, unless the queue
    /// was made with [`Acknowledge::ByTaskDone`].
    ///
    /// # Errors
    ///
    /// [`GetError::Closed`] if the queue is closed and nothing waits in it. An item that another consumer has leased may still come
    /// back after that, if that one dies; who must not miss it asks again while [`unfinished`](Self::unfinished) isn't 0.
    /// [`GetError::Decode`] if the item was put as something else; [`GetError::Descriptors`] and [`GetError::DescriptorsMissing`] if
    /// its descriptors can't be had.
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{GetError, Queue, QueueOptions}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let arena = Arena::create(QueueOptions::default().bytes()?)?;
    /// let queue = Queue::create(&arena, QueueOptions::default())?;
    /// queue.put(7)?;
    /// assert_eq!(queue.get()?, 7);
    /// assert!(matches!(queue.try_get(), Err(GetError::Empty)));
    /// # Ok(()) }
    /// ```
    pub fn get(&self) -> Result<T, GetError> {
        self.get_within(Limit::Never)
    }

    /// As [`get`](Self::get), but waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// As `get`, and [`GetError::Empty`] when the limit has passed.
    pub fn get_for(&self, limit: Duration) -> Result<T, GetError> {
        self.get_within(Limit::of(limit))
    }

    /// As [`get`](Self::get), but doesn't wait.
    ///
    /// # Errors
    ///
    /// As `get`, and [`GetError::Empty`] if nothing waits.
    pub fn try_get(&self) -> Result<T, GetError> {
        self.get_within(Limit::Now)
    }

    /// Leases the next item, and waits for one for as long as it takes. Until it is [`done`](Lease::done), it is this process's:
    /// if that dies, another consumer gets it.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn lease(&self) -> Result<Lease<T>, GetError> {
        self.lease_within(Limit::Never)
    }

    /// As [`lease`](Self::lease), but waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// As `lease`, and [`GetError::Empty`] when the limit has passed.
    pub fn lease_for(&self, limit: Duration) -> Result<Lease<T>, GetError> {
        self.lease_within(Limit::of(limit))
    }

    /// As [`lease`](Self::lease), but doesn't wait.
    ///
    /// # Errors
    ///
    /// As `lease`, and [`GetError::Empty`] if nothing waits.
    pub fn try_lease(&self) -> Result<Lease<T>, GetError> {
        self.lease_within(Limit::Now)
    }

    /// Takes the oldest dead letter: an item that was delivered too often ([`QueueOptions`](super::QueueOptions)). `None` if there is
    /// none. As with any lease, it is a dead letter again if it isn't [`done`](Lease::done).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), but [`GetError::Empty`] and [`GetError::Closed`].
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{Queue, QueueOptions}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let arena = Arena::create(QueueOptions::default().bytes()?)?;
    /// let queue = Queue::create(&arena, QueueOptions { max_deliveries: 2, ..QueueOptions::default() })?;
    /// queue.put("poison".to_owned())?;
    /// drop(queue.lease()?);
    /// assert_eq!((queue.len(), queue.dead_letters()), (1, 0));
    /// drop(queue.lease()?);
    /// assert_eq!((queue.len(), queue.dead_letters()), (0, 1));
    /// assert_eq!(queue.take_dead_letter()?.map(|letter| letter.done()).as_deref(), Some("poison"));
    /// assert!(queue.take_dead_letter()?.is_none());
    /// # Ok(()) }
    /// ```
    pub fn take_dead_letter(&self) -> Result<Option<Lease<T>>, GetError> {
        self.shared.check()?;
        members::sweep(&self.shared.memory);
        cells::take_dead(&self.shared.memory).map(|taken| self.leased_as(taken)).transpose()
    }

    fn get_within(&self, limit: Limit) -> Result<T, GetError> {
        self.got(self.shared.take(limit)?)
    }

    /// What [`get`](Self::get) does with an item that was taken.
    pub(super) fn got(&self, taken: Taken) -> Result<T, GetError> {
        if self.shared.memory.acknowledge == Acknowledge::OnReturn {
            return self.finish(taken);
        }
        let (item, hold) = self.as_lease(taken)?.into_parts();
        self.shared.outstanding().push_back(hold.keep());
        Ok(item)
    }

    /// Acknowledges an item, and returns it.
    fn finish(&self, taken: Taken) -> Result<T, GetError> {
        if self.shared.memory.has_descriptors(taken.cell) {
            // It stays where it is until we have all of it: its descriptors may be too many for this process just now.
            return Ok(self.as_lease(taken)?.done());
        }
        with_room(|room| {
            self.shared.memory.read(taken.cell, room);
            crash::point();
            // The bytes are ours: so the cell can be others' while we decode them.
            cells::settle(&self.shared.memory, taken.cell);
            Ok(wire::decode_from(room, Vec::new())?)
        })
    }

    fn lease_within(&self, limit: Limit) -> Result<Lease<T>, GetError> {
        self.as_lease(self.shared.take(limit)?)
    }

    /// What [`lease`](Self::lease) does with an item that was taken.
    pub(super) fn as_lease(&self, taken: Taken) -> Result<Lease<T>, GetError> {
        attempt::tell_taken(&self.shared.memory);
        self.leased_as(taken)
    }

    fn leased_as(&self, taken: Taken) -> Result<Lease<T>, GetError> {
        let hold = Hold::new(&self.shared, taken);
        match self.shared.decode(taken) {
            Ok(item) => Ok(Lease::new(item, hold)),
            Err(error) => {
                let may_work_elsewhere = match error {
                    GetError::Descriptors(_) => true,
                    GetError::Decode(_) => self.shared.memory.has_descriptors(taken.cell),
                    _ => false,
                };
                if !may_work_elsewhere {
                    hold.done();
                }
                Err(error)
            }
        }
    }
}

impl<T> Queue<T> {
    /// Acknowledges the item that this process got first of those it hasn't acknowledged, in a queue with
    /// [`Acknowledge::ByTaskDone`].
    ///
    /// # Errors
    ///
    /// [`TaskDoneError::TooOften`] if there is none; nothing is changed by that.
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{Acknowledge, Queue, QueueOptions}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = QueueOptions { acknowledge: Acknowledge::ByTaskDone, ..QueueOptions::default() };
    /// let arena = Arena::create(options.bytes()?)?;
    /// let queue = Queue::create(&arena, options)?;
    /// queue.put(1)?;
    /// assert_eq!((queue.get()?, queue.unfinished()), (1, 1));
    /// queue.task_done()?;
    /// assert_eq!(queue.unfinished(), 0);
    /// assert!(queue.task_done().is_err());
    /// # Ok(()) }
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        self.shared.check()?;
        let oldest = self.shared.outstanding().pop_front().ok_or(TaskDoneError::TooOften)?;
        cells::settle(&self.shared.memory, oldest.cell);
        Ok(())
    }
}

impl Shared {
    fn take(&self, limit: Limit) -> Result<Taken, GetError> {
        self.check()?;
        let sweep = || members::sweep(&self.memory);
        let taken = match wait::until(&self.memory, limit, || self.attempt_take(), sweep) {
            Some(Err(End)) => {
                // What the dead had is still to be got.
                sweep();
                self.attempt_take().ok()
            }
            other => other,
        };
        match taken {
            Some(Ok(taken)) => Ok(taken),
            Some(Err(End)) => Err(GetError::Closed),
            None => Err(GetError::Empty),
        }
    }

    pub(super) fn attempt_take(&self) -> Result<Result<Taken, End>, Bell<'_>> {
        self.look_now_and_then();
        attempt::take(&self.memory)
    }

    fn decode<T: DeserializeOwned>(&self, taken: Taken) -> Result<T, GetError> {
        with_room(|room| {
            self.memory.read(taken.cell, room);
            let descriptors = self.memory.descriptors(taken.cell).map_err(|unread| match unread {
                Unread::Here(error) => GetError::Descriptors(error),
                Unread::Missing => GetError::DescriptorsMissing,
            })?;
            crash::point();
            Ok(wire::decode_from(room, descriptors)?)
        })
    }
}
