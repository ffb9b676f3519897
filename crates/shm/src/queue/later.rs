//! Putting and getting in tasks, and for event loops that wait on a descriptor.

use std::{io, time::Instant};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    GetError, Lease, PutError, Queue,
    attempt::End,
    cells::{self, Taken},
    handle::Shared,
    members, ring, wait,
    words::{Bell, Words},
};
use crate::{
    arena::SLICE,
    attendant::{self, Ringing, Watch},
    doorbell::Doorbell,
    sync::{Ordering, fence},
};

impl<T: Serialize> Queue<T> {
    /// As [`put`](Self::put), in a task.
    ///
    /// Dropped before it is ready, it has put nothing, and the item goes with it.
    ///
    /// # Errors
    ///
    /// As `put`, and [`PutError::System`] if no thread can be started to sleep for futures.
    pub async fn put_async(&self, item: T) -> Result<(), PutError<T>> {
        let mut bytes = Vec::new();
        let descriptors = match self.encode(&item, &mut bytes) {
            Ok(descriptors) => descriptors,
            Err(unfit) => return Err(unfit.with(item)),
        };
        match self.shared.until_async(|| self.shared.attempt_put(&bytes, &descriptors)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_put)) => Err(not_put.with(item)),
            Err(source) => Err(PutError::System { item, source }),
        }
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// As [`get`](Self::get), in a task.
    ///
    /// Dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    ///
    /// As `get`, and [`GetError::System`] if no thread can be started to sleep for futures.
    pub async fn get_async(&self) -> Result<T, GetError> {
        let taken = self.shared.take_async().await?;
        self.got(taken)
    }

    /// As [`lease`](Self::lease), in a task.
    ///
    /// Dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`get_async`](Self::get_async).
    pub async fn lease_async(&self) -> Result<Lease<T>, GetError> {
        let taken = self.shared.take_async().await?;
        self.as_lease(taken)
    }
}

impl<T> Queue<T> {
    /// Has `bell` rung once, when there may be something to get, or the queue may be closed: at once, if there is already.
    /// For event loops that wait on a descriptor: when the doorbell rings, [`try_get`](Self::try_get) until it is empty, and then
    /// call this again. It may ring for nothing, every 25 ms or so, because only a look tells whether a dead consumer had
    /// something.
    ///
    /// # Errors
    ///
    /// If no thread can be started to sleep for it; in a forked process.
    ///
    /// ```
    /// use shm::{arena::Arena, doorbell::Doorbell, queue::{Queue, QueueOptions}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let arena = Arena::create(QueueOptions::default().bytes()?)?;
    /// let queue = Queue::create(&arena, QueueOptions::default())?;
    /// let bell = Doorbell::new()?;
    /// let ringing = queue.ring_for_items(&bell)?;
    /// queue.put(7)?;
    /// // … `poll` says that the doorbell is readable …
    /// bell.quiet();
    /// assert_eq!(queue.try_get()?, 7);
    /// # drop(ringing);
    /// # Ok(()) }
    /// ```
    pub fn ring_for_items(&self, bell: &Doorbell) -> io::Result<Ringing> {
        self.shared.check().map_err(io::Error::other)?;
        self.shared.ring_for(bell, || self.shared.anything())
    }

    /// Has `bell` rung once, when there may be room to put something, or the queue may be closed; otherwise as
    /// [`ring_for_items`](Self::ring_for_items). It tells of room for a small item without descriptors: whether there are blocks or
    /// a slot as well, only the put tells.
    ///
    /// # Errors
    ///
    /// As `ring_for_items`.
    pub fn ring_for_room(&self, bell: &Doorbell) -> io::Result<Ringing> {
        self.shared.check().map_err(io::Error::other)?;
        self.shared.ring_for(bell, || if self.is_full() { Err(self.shared.memory.room()) } else { Ok(()) })
    }
}

impl Shared {
    async fn take_async(&self) -> Result<Taken, GetError> {
        self.check()?;
        let taken = match self.until_async(|| self.attempt_take()).await.map_err(GetError::System)? {
            Err(End) => {
                members::sweep(&self.memory);
                self.attempt_take().unwrap_or(Err(End))
            }
            taken => taken,
        };
        taken.map_err(|End| GetError::Closed)
    }

    /// As [`wait::until`], in a task.
    async fn until_async<'s, R>(&'s self, mut attempt: impl FnMut() -> Result<R, Bell<'s>>) -> io::Result<R> {
        let mut waiting = Waiting { bell: None };
        let done = attendant::retry(|| {
            self.attempt_or_watch(&mut attempt).map_err(|(bell, watch)| {
                waiting.bell = Some(bell);
                watch
            })
        });
        let done = done.await;
        waiting.bell = None;
        done
    }

    /// Has a doorbell rung when an attempt says something else than what to wait for.
    fn ring_for<'s>(
        &'s self,
        bell: &Doorbell,
        attempt: impl FnMut() -> Result<(), Bell<'s>>,
    ) -> io::Result<Ringing> {
        match self.attempt_or_watch(attempt) {
            Ok(()) => {
                bell.ring();
                Ok(Ringing::rung())
            }
            Err((_, watch)) => Ringing::when(watch, bell),
        }
    }

    /// Makes an attempt, and leaves a mark before the last look, as [`wait::until`] does.
    fn attempt_or_watch<'s, R>(
        &'s self,
        mut attempt: impl FnMut() -> Result<R, Bell<'s>>,
    ) -> Result<R, (Bell<'s>, Watch)> {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        members::sweep(&self.memory);
        let mut bell = match attempt() {
            Ok(done) => return Ok(done),
            Err(bell) => bell,
        };
        let mut rings = wait::mark_sleeper(bell);
        // What is waited for can change between two looks, from room to blocks or back; not for long.
        for _ in 0..8 {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(same) if same.is(bell) => break,
                Err(other) => bell = other,
            }
            rings = wait::mark_sleeper(bell);
        }
        let arena = self.memory.place().arena().clone();
        let words = vec![(self.memory.offset_of(bell), rings)];
        Err((bell, Watch { arena, words, owner: None, until: Some(Instant::now() + SLICE) }))
    }

    fn anything(&self) -> Result<(), Bell<'_>> {
        let waits = ring::span(&self.memory);
        if waits.0 != waits.1 || ring::is_closed(&self.memory) || cells::any_returned(&self.memory) {
            Ok(())
        } else {
            Err(self.memory.items())
        }
    }
}

/// A task that waits. If it is dropped when it was just woken, another sleeper is woken in its stead.
struct Waiting<'s> {
    bell: Option<Bell<'s>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(bell) = self.bell {
            fence(Ordering::SeqCst);
            wait::ring(bell, false);
        }
    }
}
