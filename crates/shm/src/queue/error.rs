//! What can go wrong with a queue.

use std::{fmt, io};

use super::sockets::MAX_SLOTS;
use crate::{
    arena::ArenaError,
    fork::Forked,
    wire::{DecodeError, EncodeError, ReceiveError, SendError},
};

/// A queue can't be made or received.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The arena has no room for it, or can't be used.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// A queue that holds nothing.
    #[error("make a queue without capacity: it needs room for one item at least")]
    NoCapacity,
    /// More than a queue can hold.
    #[error("make so large a queue: some 16 million items are the most, waiting and leased together; use several")]
    TooLarge,
    /// More slots for items with descriptors than there can be.
    #[error("make a queue with {0} slots for descriptors: {MAX_SLOTS} are the most; use several queues")]
    TooManySlots(usize),
    /// There are no sockets for descriptors to be had.
    #[error("make the sockets for a queue's descriptors: {0}")]
    Sockets(#[source] io::Error),
    /// As many processes take part as can.
    #[error("take part in a queue: too many processes do; let some of them end")]
    TooManyMembers,
    /// What another process sent isn't what it says.
    #[error("use a queue that another process sent: it isn't one, or of another version of this library")]
    Alleged,
}

/// An item could not be put. It comes back.
#[derive(thiserror::Error)]
pub enum PutError<T> {
    /// There was no room, for as long as the caller would wait.
    #[error("put an item: the queue is full; wait longer, get faster, or make the queue larger")]
    Full(T),
    /// The queue is closed.
    #[error("put an item: the queue is closed")]
    Closed(T),
    /// It is larger than the queue's memory for large items.
    #[error(
        "put an item of {bytes} bytes: this queue holds {most_bytes} at most; make it with more `large_bytes`, or pass \
         large data by a ring or a file"
    )]
    TooLarge {
        /// The item.
        item: T,
        /// Its size as a message.
        bytes: usize,
        /// The largest size.
        most_bytes: usize,
    },
    /// It can't be a message.
    #[error("put an item: could not {source}")]
    Encode {
        /// The item.
        item: T,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// It has descriptors in it, and the queue has no slots for such.
    #[error(
        "put an item with {descriptors} descriptors in it: this queue takes none; make it with `descriptor_slots`, or \
         send them by a socket (`wire::Socket`)"
    )]
    Descriptors {
        /// The item.
        item: T,
        /// How many.
        descriptors: usize,
    },
    /// Its descriptors can't be sent: there are too many in it, or on their way.
    #[error("put an item with descriptors in it: could not {source}")]
    Send {
        /// The item.
        item: T,
        /// Why not.
        source: SendError,
    },
    /// No thread can be started to sleep for futures.
    #[error("put an item in a task: {source}")]
    System {
        /// The item.
        item: T,
        /// What the system said.
        source: io::Error,
    },
    /// The handle is of the process that this one was forked from.
    #[error("{Forked}")]
    Forked(T),
}

impl<T> PutError<T> {
    /// The item that wasn't put.
    #[must_use]
    pub fn into_item(self) -> T {
        match self {
            Self::Full(item) | Self::Closed(item) | Self::Forked(item) => item,
            Self::TooLarge { item, .. }
            | Self::Encode { item, .. }
            | Self::Descriptors { item, .. }
            | Self::Send { item, .. }
            | Self::System { item, .. } => item,
        }
    }
}

// By hand, so that the item need not be `Debug`.
impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
            Self::TooLarge { .. } => "TooLarge(..)",
            Self::Encode { .. } => "Encode(..)",
            Self::Descriptors { .. } => "Descriptors(..)",
            Self::Send { .. } => "Send(..)",
            Self::System { .. } => "System(..)",
            Self::Forked(_) => "Forked(..)",
        })
    }
}

/// No item could be had.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// None came, for as long as the caller would wait.
    #[error("get an item: the queue is empty")]
    Empty,
    /// The queue is closed, and nothing waits in it.
    #[error("get an item: the queue is closed, and empty")]
    Closed,
    /// It was put as something else. It is acknowledged: nobody could read it as this. But if it has descriptors, it goes back to
    /// the queue, as if its lease had been dropped: to make something of those may take memory that another process has.
    #[error("get an item: could not {0}")]
    Decode(#[from] DecodeError),
    /// This process can't take its descriptors, usually because it has too many open. The item goes back to the queue, as if its
    /// lease had been dropped.
    #[error("get an item's descriptors: could not {0}")]
    Descriptors(#[source] ReceiveError),
    /// Its descriptors aren't there. Some process that has the queue doesn't keep to its protocol. The item is acknowledged, for
    /// nobody could get it.
    #[error(
        "get an item: the descriptors in it are gone; some process that has the queue has taken them out of its sockets"
    )]
    DescriptorsMissing,
    /// No thread can be started to sleep for futures.
    #[error("get an item in a task: {0}")]
    System(#[source] io::Error),
    /// The handle is of the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}

/// An item could not be acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum TaskDoneError {
    /// This process has acknowledged every item that it got.
    #[error("call `task_done`: every item that this process got is done already")]
    TooOften,
    /// The handle is of the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}

/// The wait for all items to be acknowledged ended before they were.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The limit has passed.
    #[error("join a queue: {unfinished} of its items weren't acknowledged within the limit")]
    TimedOut {
        /// How many it were at the end.
        unfinished: usize,
    },
    /// The handle is of the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}
