//! What can go wrong with an arena.

use std::io;

use super::layout::{MAX_BYTES, MAX_MEMBERS};
use crate::{fork::Forked, memory::MemoryError};

/// An arena can't be made, joined or used.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// The memory for it isn't there.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// More was asked for than an arena can ever have.
    #[error("make an arena of {0} bytes: {MAX_BYTES} is the most; share large data by a ring, or make several arenas")]
    TooLarge(usize),
    /// There is no room left for another object.
    #[error(
        "allocate {asked_bytes} bytes in an arena: {free_bytes} of its {bytes} are free; make it larger at the start, or \
         make a second one"
    )]
    Full {
        /// How much was asked for, with what comes on top.
        asked_bytes: usize,
        /// How much was left.
        free_bytes: usize,
        /// How large the arena is.
        bytes: usize,
    },
    /// Too many processes are members.
    #[error("join an arena: {MAX_MEMBERS} processes are members already; let some of them end, or make a second arena")]
    TooManyMembers,
    /// This process is in too many arenas.
    #[error("join an arena: this process is a member of {0} already; put more objects into fewer arenas")]
    TooManyArenas(usize),
    /// The thread by which the kernel tells others of our death can't be had.
    #[error("start the thread that tells other processes of this one's death: {0}")]
    Heart(#[source] io::Error),
    /// What another process sent isn't what it says.
    #[error("use an arena that another process sent: {0}")]
    Alleged(&'static str),
    /// It belongs to the process that this one was forked from.
    #[error(transparent)]
    Forked(#[from] Forked),
}
