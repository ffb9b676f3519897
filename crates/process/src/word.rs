//! What a process is told that mustn't be lost, though it may have no room for a message just then.

use std::time::Instant;

use shm::wire::Packet;

use crate::message::{Kind, Message};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The answer to this call isn't wanted any more.
    Cancel(u64),
    /// So many events were read.
    Read(u64),
    /// It is to stop, and is killed then. `None`: never.
    Stop { kill_at: Option<Instant> },
}

impl Word {
    pub(crate) fn message(self) -> Packet {
        let (kind, id) = match self {
            Self::Cancel(id) => (Kind::Cancel, id),
            Self::Read(count) => (Kind::Read, count),
            Self::Stop { kill_at } => {
                let left = kill_at.map(|at| at.saturating_duration_since(Instant::now()));
                (Kind::Stop, left.and_then(|left| u64::try_from(left.as_nanos()).ok()).unwrap_or(u64::MAX))
            }
        };
        Message::wrap(kind, id, &Packet::default())
    }

    pub(crate) fn is_stop(self) -> bool {
        matches!(self, Self::Stop { .. })
    }
}
