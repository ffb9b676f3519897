//! How a writer waits for the readers that chose to block it.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use super::{
    Port, RingError,
    policy::{Late, Policy},
    protocol::ReaderWords,
    sessions::{Session, Sessions},
    writer::{Shared, State},
};
use crate::sync::Ordering;

/// What a blocked writer sleeps on; made at the first wait.
#[derive(Debug, Default)]
pub(super) struct Room(Option<OwnedFd>);

/// The event of a reader that took a frame; the other one is that of the sessions.
const TAKEN: u64 = 0;
const SESSIONS: u64 = 1;

impl Room {
    /// Waits until every blocking reader has room for the next frame, is late, or is gone.
    pub(super) fn wait(&mut self, shared: &Arc<Shared>) -> Result<(), RingError> {
        let begun = Instant::now;
        let mut since = None;
        loop {
            let until = {
                let state = &mut *shared.lock();
                if state.sessions.room.is_none() {
                    return Ok(()); // no blocking reader has ever joined
                }
                match state.wait_until(*since.get_or_insert_with(begun)) {
                    Waiting::ForNobody => return Ok(()),
                    Waiting::Until(until) => {
                        self.prepare(&state.sessions)?;
                        until
                    }
                }
            };
            if self.sleep(until)? {
                Port::new(shared.clone()).service();
            }
        }
    }

    fn prepare(&mut self, sessions: &Sessions) -> io::Result<()> {
        if let (None, Some(room)) = (&self.0, &sessions.room) {
            let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
            // Edge-triggered: what counts is in the readers' pages, so nobody needs to read its counter.
            let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&epoll, room, epoll::EventData::new_u64(TAKEN), edge)?;
            // A reader's goodbye or death releases the writer as well.
            epoll::add(&epoll, &sessions.epoll, epoll::EventData::new_u64(SESSIONS), epoll::EventFlags::IN)?;
            self.0 = Some(epoll);
        }
        Ok(())
    }

    /// Sleeps until a reader took something, a session has something to say (then `true`), or `until`.
    fn sleep(&self, until: Option<Instant>) -> io::Result<bool> {
        let Some(epoll) = &self.0 else { return Ok(false) };
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
        match epoll::wait(epoll, &mut events, left.as_ref()) {
            Ok((events, _)) => Ok(events.iter().any(|event| event.data.u64() == SESSIONS)),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

enum Waiting {
    ForNobody,
    /// `None`: without a limit.
    Until(Option<Instant>),
}

impl State {
    /// How many readers the next frame would have to wait for.
    pub(super) fn without_room(&self) -> usize {
        let blocks = |session: &&Session| session.patience().is_some() && !self.slots.has_room(&session.page);
        self.sessions.joined.iter().filter(blocks).count()
    }

    /// Whom to wait for, and until when, having begun to wait at `since`. Gives up on those that are late.
    fn wait_until(&mut self, since: Instant) -> Waiting {
        let waited = since.elapsed();
        let mut waiting = Waiting::ForNobody;
        for session in &mut self.sessions.joined {
            let Some((timeout, late)) = session.patience() else { continue };
            if self.slots.has_room(&session.page) {
                continue;
            }
            if waited >= timeout {
                session.give_up(late);
            } else if self.slots.wait_for(&session.page) {
                let until = since.checked_add(timeout);
                waiting = Waiting::Until(match waiting {
                    Waiting::ForNobody | Waiting::Until(None) => until,
                    Waiting::Until(Some(earlier)) => Some(until.map_or(earlier, |until| until.min(earlier))),
                });
            }
        }
        waiting
    }
}

impl Session {
    /// How long to wait for it, and what then; `None` if it isn't waited for.
    fn patience(&self) -> Option<(Duration, Late)> {
        match self.wish.policy {
            Policy::Block { timeout, late } if !self.leaving && self.given_up_at != Some(self.taken()) => {
                Some((timeout, late))
            }
            _ => None,
        }
    }

    fn give_up(&mut self, late: Late) {
        match late {
            Late::Drop => self.given_up_at = Some(self.taken()),
            Late::Detach => self.leave(),
        }
    }

    fn taken(&self) -> u64 {
        self.page.taken().load(Ordering::Acquire)
    }
}
