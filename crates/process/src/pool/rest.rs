//! What the pool's thread sleeps on.

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::event::{Timespec, epoll};

use super::desk::Desk;

/// While tasks are so short that results come in crowds, the thread naps before it sleeps: a worker then wakes it for a
/// crowd, not for each. What isn't worth waking for waits no longer than this.
pub(super) const NAP: Duration = Duration::from_millis(1);

const BELL: u64 = u64::MAX;

/// Something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Somebody has an order.
    Bell,
    /// This worker has said something in its socket.
    Worker(u64),
}

#[derive(Debug)]
pub(super) struct Rest {
    epoll: OwnedFd,
    /// It has napped, and nothing happened since.
    pub is_rested: bool,
}

impl Rest {
    /// Makes the descriptor that is slept on.
    pub(super) fn epoll(bell: impl AsFd) -> std::io::Result<OwnedFd> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(epoll)
    }

    pub(super) fn new(epoll: OwnedFd) -> Self {
        Self { epoll, is_rested: false }
    }

    pub(super) fn join(&mut self, number: u64, desk: &Desk) -> std::io::Result<()> {
        Ok(epoll::add(&self.epoll, &desk.socket, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?)
    }

    pub(super) fn leave(&mut self, desk: &Desk) {
        let _ = epoll::delete(&self.epoll, &desk.socket); // it may have left before
    }

    pub(super) fn wait(&self, limit: Option<Duration>) -> Vec<Seen> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        // The only errors are an interruption and our own mistakes; both mean another turn.
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, limit.as_ref()) else { return Vec::new() };
        let seen = events.iter().map(|event| match event.data.u64() {
            BELL => Seen::Bell,
            number => Seen::Worker(number),
        });
        seen.collect()
    }
}
