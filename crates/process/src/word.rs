//! What a process is told that mustn't be lost, though it may have no room for a message just then.

use shm::wire::Packet;

use crate::message::{Kind, Message};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// The answer to this call isn't wanted any more.
    Cancel(u64),
    /// So many events were read.
    Read(u64),
}

impl Word {
    pub(crate) fn message(self) -> Packet {
        let (kind, id) = match self {
            Self::Cancel(id) => (Kind::Cancel, id),
            Self::Read(count) => (Kind::Read, count),
        };
        Message::wrap(kind, id, &Packet::default())
    }
}
