//! How a writer waits for the readers that chose to block it.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{event::epoll, io::Errno};

use super::{
    Port, RingError,
    policy::{Late, Policy},
    protocol::ReaderWords,
    sessions::{Session, Sessions},
    writer::{Shared, State},
};
use crate::{call, doorbell, sync::Ordering, wait::timespec};

/// The event of a reader that took a frame, or is gone; the other one is that of the sessions.
const TAKEN: u64 = 0;
const SESSIONS: u64 = 1;

/// How late `go_on` is asked at most: somebody who presses Ctrl-C shouldn't notice.
const SLICE: Duration = Duration::from_millis(50);

/// Waits until every blocking reader has room for the next frame, is late, or is gone; or until `go_on` says no.
pub(super) fn wait(shared: &Arc<Shared>, mut go_on: impl FnMut() -> bool) -> Result<(), RingError> {
    let begun = Instant::now();
    loop {
        let (until, room, readers) = {
            let state = &mut *shared.lock();
            let Some(room) = state.sessions.room.clone() else {
                return Ok(()); // no blocking reader has ever joined
            };
            match state.wait_until(begun) {
                Waiting::ForNobody => return Ok(()),
                Waiting::Until(until) => (until, room, state.without_room()),
            }
        };
        // Asked without the lock: it may do anything, and take its time.
        if !go_on() {
            return Err(RingError::WouldBlock { readers });
        }
        let slice = Instant::now() + SLICE;
        if sleep(&room, until.map_or(slice, |until| until.min(slice)))? {
            Port::new(shared.clone()).service();
        }
    }
}

/// Sleeps until a reader took something, a session has something to say (then `true`), or `until`.
fn sleep(room: &OwnedFd, until: Instant) -> io::Result<bool> {
    let left = timespec(until.saturating_duration_since(Instant::now()));
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); 16];
    match epoll::wait(room, &mut events, Some(&left)) {
        Ok((events, _)) => Ok(events.iter().any(|event| event.data.u64() == SESSIONS)),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(call::failed("epoll_wait")(errno)),
    }
}

impl Sessions {
    /// What a blocking reader shall ring when it takes a frame; a blocked writer hears it.
    pub(super) fn new_room_bell(&mut self) -> io::Result<OwnedFd> {
        let room = match &self.room {
            Some(room) => room,
            None => {
                let room = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?;
                // A reader's goodbye or death releases the writer as well, whoever services it.
                epoll::add(&room, &self.epoll, epoll::EventData::new_u64(SESSIONS), epoll::EventFlags::IN)
                    .map_err(call::failed("epoll_ctl"))?;
                let stir = doorbell::bare()?;
                epoll::add(&room, &stir, epoll::EventData::new_u64(TAKEN), doorbell::EDGE)
                    .map_err(call::failed("epoll_ctl"))?;
                self.stir = Some(stir);
                self.room.insert(Arc::new(room))
            }
        };
        let bell = doorbell::bare()?;
        // What counts is in the readers' pages, so nobody needs to read a bell's counter.
        epoll::add(room, &bell, epoll::EventData::new_u64(TAKEN), doorbell::EDGE).map_err(call::failed("epoll_ctl"))?;
        Ok(bell)
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
        let blocks =
            |session: &&Session| session.patience(self.longest_wait).is_some() && !self.slots.has_room(&session.page);
        self.sessions.joined.iter().filter(blocks).count()
    }

    /// Whom to wait for, and until when, having begun to wait at `since`. Gives up on those that are late.
    fn wait_until(&mut self, since: Instant) -> Waiting {
        let waited = since.elapsed();
        let mut waiting = Waiting::ForNobody;
        for session in &mut self.sessions.joined {
            let Some((timeout, late)) = session.patience(self.longest_wait) else { continue };
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
    /// How long to wait for it, at most `longest`, and what then; `None` if it isn't waited for.
    fn patience(&self, longest: Duration) -> Option<(Duration, Late)> {
        match self.wish.policy {
            // Once given up, it has to get on: what it took only counts if that is more.
            Policy::Block { timeout, late }
                if !self.leaving && self.given_up_at.is_none_or(|given_up_at| self.taken() > given_up_at) =>
            {
                Some((timeout.min(longest), late))
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
