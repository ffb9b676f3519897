//! What can go wrong with a map.

use std::io;

use super::memory::{LEAST_LIMIT, MOST_LIMIT};
use crate::{arena::ArenaError, fork::Forked, memory::MemoryError};

/// An operation on a map didn't happen: in no case a part of it.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// The arena has no room for it, or can't be used.
    #[error(transparent)]
    Arena(#[from] ArenaError),
    /// There is too little memory to make it, or to let it grow.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It would have more than was declared.
    #[error(
        "change a map: its entries would take {needed_bytes} bytes, and {limit_bytes} were declared as the most; remove \
         some, or make it with a larger limit (each entry takes its key and value, each rounded up to 8, and 40 more)"
    )]
    Full {
        /// How much all entries would take.
        needed_bytes: usize,
        /// How much they may.
        limit_bytes: usize,
    },
    /// A limit that can't be.
    #[error("make a map of at most {0} bytes: {LEAST_LIMIT} is the least limit, and {MOST_LIMIT} the most")]
    Limit(usize),
    /// Its memory isn't as this library writes it.
    #[error("use a map: {0}; some process wrote into its memory at random, so make a new one")]
    Broken(&'static str),
    /// Somebody else has it, and it wasn't to be waited for.
    #[error("have a map: somebody else has it")]
    Busy,
    /// Somebody else has it, and the limit has passed.
    #[error("have a map: it wasn't let go of within the limit")]
    TimedOut,
    /// The thread that sleeps for futures can't be started.
    #[error("wait for a map to change: {0}")]
    System(#[source] io::Error),
    /// The handle belongs to the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}
