//! What makes a process a pool's worker, and what both say to each other beside the lanes.

use serde::{Deserialize, Serialize};
use shm::wire::Passed;

/// Room for the tasks, and as much again for the results, of one worker: its window of 64 at half a kilobyte each.
pub(super) const LANE_BYTES: usize = 64 * 1024;

/// What is larger than this, or has descriptors, goes by the socket: copying it word by word would cost more than a
/// system call, and several must fit into a lane.
pub(super) const MAX_SMALL_BYTES: usize = 4 * 1024;

/// An entry of the task lane: its content is in the socket.
pub(super) const AWAY: u32 = 1;
/// A result: what the handler gave.
pub(super) const ANSWER: u32 = 2;
/// A result: the handler panicked, or the task couldn't be read; a text.
pub(super) const FAILED: u32 = 3;
/// Beside either: the worker is above its memory limit and wants to be replaced.
pub(super) const OVER_MEMORY: u32 = 1 << 16;

/// The pool's first message to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// Carries what is large, and wakes whoever sleeps.
    pub socket: Passed,
    /// Read by the worker.
    pub tasks: Passed,
    /// Written by the worker.
    pub results: Passed,
    /// Beyond this resident size it says so.
    pub max_memory: Option<u64>,
}

/// Stands after the content of a message in the socket. After, not before: so that 100 MB needn't be moved for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub id: u64,
    pub tag: u32,
    pub took_ns: u64,
}

const TRAILER_BYTES: usize = 20;

impl Trailer {
    pub(super) fn append(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.id.to_le_bytes());
        bytes.extend_from_slice(&self.took_ns.to_le_bytes());
        bytes.extend_from_slice(&self.tag.to_le_bytes());
    }

    /// Takes it off again. `None`: there is none.
    pub(super) fn cut(bytes: &mut Vec<u8>) -> Option<Self> {
        let content = bytes.len().checked_sub(TRAILER_BYTES)?;
        let (id, rest) = bytes[content..].split_first_chunk::<8>()?;
        let (took_ns, tag) = rest.split_first_chunk::<8>()?;
        let tag: [u8; 4] = tag.try_into().ok()?;
        let trailer =
            Self { id: u64::from_le_bytes(*id), tag: u32::from_le_bytes(tag), took_ns: u64::from_le_bytes(*took_ns) };
        bytes.truncate(content);
        Some(trailer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailer_comes_off_as_it_was_put_on() {
        let trailer = Trailer { id: 1 << 40, tag: ANSWER | OVER_MEMORY, took_ns: 77 };
        let mut bytes = b"content".to_vec();
        trailer.append(&mut bytes);
        assert_eq!(Trailer::cut(&mut bytes), Some(trailer));
        assert_eq!(bytes, b"content");
        assert_eq!(Trailer::cut(&mut bytes), None);
    }
}
