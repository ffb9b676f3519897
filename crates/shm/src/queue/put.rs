//! Putting items.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    PutError, Queue,
    attempt::{self, Needs, NotPut},
    handle::{Shared, with_room},
    members,
    wait::{self, Limit},
    words::{Bell, Words},
};
use crate::{
    crash,
    wire::{self, EncodeError, MAX_DESCRIPTORS, Passed, SendError},
};

impl<T: Serialize> Queue<T> {
    /// Puts an item at the end, and waits for room for as long as it takes.
    ///
    /// # Errors
    ///
    /// [`PutError::Closed`] if the queue is closed, also while waiting; [`PutError::TooLarge`] and [`PutError::Encode`] for an
    /// item that no waiting would help; [`PutError::Descriptors`] and [`PutError::Send`] for one with descriptors that can't travel.
    /// The item comes back in the error.
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
        with_room(|bytes| {
            let descriptors = match self.encode(&item, bytes) {
                Ok(descriptors) => descriptors,
                Err(unfit) => return Err(unfit.with(item)),
            };
            let memory = &self.shared.memory;
            let attempt = || self.shared.attempt_put(bytes, &descriptors);
            match wait::until(memory, limit, attempt, || members::sweep(memory)) {
                Some(Ok(())) => Ok(()),
                Some(Err(not_put)) => Err(not_put.with(item)),
                None => Err(PutError::Full(item)),
            }
        })
    }

    /// Makes a message of an item that this queue can hold, and gives the descriptors in it.
    pub(super) fn encode(&self, item: &T, bytes: &mut Vec<u8>) -> Result<Vec<Passed>, Unfit> {
        self.shared.check().map_err(|_| Unfit::Forked)?;
        let descriptors = wire::encode_onto(bytes, item).map_err(Unfit::Encode)?;
        let most_bytes = self.shared.memory.most_bytes();
        if !descriptors.is_empty() && self.shared.memory.shape().slots == 0 {
            Err(Unfit::Descriptors(descriptors.len()))
        } else if descriptors.len() > MAX_DESCRIPTORS {
            Err(Unfit::Send(SendError::TooManyDescriptors(descriptors.len())))
        } else if bytes.len() > most_bytes {
            Err(Unfit::TooLarge { bytes: bytes.len(), most_bytes })
        } else {
            Ok(descriptors)
        }
    }
}

/// Why an item can't be put here at all.
pub(super) enum Unfit {
    Forked,
    Encode(EncodeError),
    Descriptors(usize),
    Send(SendError),
    TooLarge { bytes: usize, most_bytes: usize },
}

impl Unfit {
    pub(super) fn with<T>(self, item: T) -> PutError<T> {
        match self {
            Self::Forked => PutError::Forked(item),
            Self::Encode(source) => PutError::Encode { item, source },
            Self::Descriptors(descriptors) => PutError::Descriptors { item, descriptors },
            Self::Send(source) => PutError::Send { item, source },
            Self::TooLarge { bytes, most_bytes } => PutError::TooLarge { item, bytes, most_bytes },
        }
    }
}

impl Shared {
    pub(super) fn attempt_put(&self, bytes: &[u8], descriptors: &[Passed]) -> Attempt<'_> {
        self.look_now_and_then();
        let memory = &self.memory;
        let needs = Needs { blocks: memory.blocks_for(bytes.len()), slot: !descriptors.is_empty() };
        attempt::put(memory, needs, |cell| {
            memory.write(cell, bytes);
            if needs.slot {
                crash::point();
                memory.send(cell, descriptors).map_err(Box::new)?;
            }
            Ok(())
        })
    }
}

/// What became of an attempt to put something, or what to wait for.
type Attempt<'s> = Result<Result<(), NotPut<Box<SendError>>>, Bell<'s>>;

impl NotPut<Box<SendError>> {
    pub(super) fn with<T>(self, item: T) -> PutError<T> {
        match self {
            Self::Closed => PutError::Closed(item),
            Self::Unwritten(source) => PutError::Send { item, source: *source },
        }
    }
}

impl Limit {
    /// So long from now. Longer than the clock counts is for ever.
    pub(super) fn of(limit: Duration) -> Self {
        Instant::now().checked_add(limit).map_or(Self::Never, Self::Until)
    }
}
