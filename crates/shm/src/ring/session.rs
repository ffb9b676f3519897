//! What a reader and a writer say to each other over their socket.

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::{
    fork::Birthplace,
    wire::{Passed, Socket},
};

/// Both sides of a ring are usually of one build; where they aren't, this tells.
pub(super) const VERSION: u32 = 3;

/// A reader's end of its session. The reader and its frames share it: when the last of them is dropped, the writer is told.
#[derive(Debug)]
pub(super) struct Line {
    pub socket: Socket,
    pub birthplace: Birthplace,
}

impl Drop for Line {
    fn drop(&mut self) {
        // Over the connection itself: a forked child may hold another copy of our end. (And its copy of this says nothing.)
        if self.birthplace.is_here() {
            let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
        }
    }
}

/// What a reader asks for when it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// What to take of what is published.
    pub policy: Policy,
    /// How many frames it may hold at once, 1 to 64. Each costs the ring one more slot.
    pub leases: u32,
}

/// The reader's one message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Join {
    pub version: u32,
    pub wish: Wish,
    /// Rung when something is published while the reader sleeps.
    pub bell: Passed,
    /// The reader's pidfd: it tells of the reader's death also when a forked child still holds the socket.
    pub life: Passed,
}

/// The writer's messages.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Joined. All segments were sent before, so that whoever has read this can read whatever is published.
    Joined(Box<Joining>),
    /// Not joined, and why.
    Refused { why: String },
    /// The memory of segment number `id`; sent before the first frame in it is published.
    Segment { id: u32, bytes: u64, memory: Passed },
    /// No later frame is in segment `id`; frames still held keep it.
    Retired { id: u32 },
}

/// What a reader needs to begin.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Joining {
    pub depth: u32,
    pub epoch: u64,
    /// The newest sequence at this moment.
    pub head: u64,
    /// How much room there is for a frame behind a slot's header.
    pub inline_bytes: u32,
    pub control: Passed,
    pub page: Passed,
    /// Rung when the reader takes a frame that the writer waits for; only if its policy can make the writer wait.
    pub room: Option<Passed>,
    /// The writer's pidfd.
    pub life: Passed,
}
