//! Putting items.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    PutError, Queue, blocks, cells,
    handle::{Shared, with_room},
    members,
    ring::{self, Refused},
    wait::{self, Limit},
    words::{Bell, Words},
};
use crate::{crash, wire};

impl<T: Serialize> Queue<T> {
    /// Puts an item at the end, and waits for room for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] if the queue is closed, also while waiting; [`PutError::TooLarge`] and [`PutError::Encode`] for an
    /// item that no waiting would help. The item comes back in the error.
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{PutError, Queue, QueueOptions}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = QueueOptions { large_bytes: 1 << 20, ..QueueOptions::default() };
    /// let arena = Arena::create(options.bytes()?)?;
    /// let queue = Queue::create(&arena, options)?;
    /// queue.put("a".repeat(1_000_000))?;
    /// assert!(matches!(queue.put("a".repeat(2_000_000)), Err(PutError::TooLarge { most_bytes: 1_048_576, .. })));
    /// # Ok(()) }
    /// ```
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_within(item, Limit::Never)
    }

    /// As [`put`](Self::put), but waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// As `put`, and [`PutError::Full`] when the limit has passed.
    pub fn put_for(&self, item: T, limit: Duration) -> Result<(), PutError<T>> {
        self.put_within(item, Limit::of(limit))
    }

    /// As [`put`](Self::put), but doesn't wait.
    ///
    /// # Errors
    ///
    /// As `put`, and [`PutError::Full`] if it would have to wait.
    pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_within(item, Limit::Now)
    }

    fn put_within(&self, item: T, limit: Limit) -> Result<(), PutError<T>> {
        if self.shared.check().is_err() {
            return Err(PutError::Forked(item));
        }
        with_room(|bytes| {
            let descriptors = match wire::encode_onto(bytes, &item) {
                Ok(descriptors) => descriptors.len(),
                Err(source) => return Err(PutError::Encode { item, source }),
            };
            if descriptors > 0 {
                return Err(PutError::Descriptors { item, descriptors });
            }
            let most_bytes = self.shared.memory.most_bytes();
            if bytes.len() > most_bytes {
                return Err(PutError::TooLarge { item, bytes: bytes.len(), most_bytes });
            }
            let memory = &self.shared.memory;
            match wait::until(memory, limit, || self.shared.attempt_put(bytes), || members::sweep(memory)) {
                Some(Ok(())) => Ok(()),
                Some(Err(End)) => Err(PutError::Closed(item)),
                None => Err(PutError::Full(item)),
            }
        })
    }
}

/// Nothing is put any more.
pub(super) struct End;

impl Shared {
    /// Puts an item that has been encoded, if there is room now; else it says what to wait for.
    pub(super) fn attempt_put(&self, bytes: &[u8]) -> Result<Result<(), End>, Bell<'_>> {
        let memory = &self.memory;
        self.look_now_and_then();
        match ring::admits(memory) {
            Ok(()) => {}
            Err(Refused::Closed) => return Ok(Err(End)),
            Err(Refused::Full) => return Err(memory.room()),
        }
        let Some(cell) = cells::claim(memory) else { return Err(memory.room()) };
        crash::point();
        let blocks = memory.blocks_for(bytes.len());
        if blocks > 0 && !blocks::take(memory, cell, blocks) {
            cells::settle(memory, cell);
            return Err(memory.blocks());
        }
        memory.write(cell, bytes);
        crash::point();
        match ring::put(memory, cell) {
            Ok(()) => {
                crash::point();
                wait::ring(memory.items(), false);
                Ok(Ok(()))
            }
            Err(refused) => {
                cells::settle(memory, cell);
                if refused == Refused::Closed { Ok(Err(End)) } else { Err(memory.room()) }
            }
        }
    }
}

impl Limit {
    /// So long from now. Longer than the clock counts is for ever.
    pub(super) fn of(limit: Duration) -> Self {
        Instant::now().checked_add(limit).map_or(Self::Never, Self::Until)
    }
}
