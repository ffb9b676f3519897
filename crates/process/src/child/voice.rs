//! What a handler says and asks of its own process without having the context in hand.

use std::sync::Arc;

use shm::{
    status::{Number, StatusPage},
    wire::Packet,
};

use super::{control::Inbox, emit::Emitter};

/// The part of a [`Context`](crate::Context) that needs no borrow of it, for handlers in another language, which can't be
/// lent one, and for a process's other threads. Clones are the same.
#[derive(Clone, Debug)]
pub struct Voice {
    pub(super) emitter: Arc<Emitter>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) status: Arc<StatusPage>,
}

impl Voice {
    /// As [`Context::emit`](crate::Context::emit), of an event that is encoded already.
    pub fn emit(&self, event: &Packet) {
        self.emitter.emit(event);
    }

    /// As [`Context::progress`](crate::Context::progress).
    pub fn progress(&self) {
        // Whatever the loop writes next is another number again, or the same one once: a beat is missed then, no more.
        self.status.add(Number::Heartbeat, 2);
    }

    /// As [`Context::is_cancelled`](crate::Context::is_cancelled).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inbox.is_cancelled()
    }
}
