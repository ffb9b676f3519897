//! What the control thread sleeps on, and how the event loop has the line for itself: for a millisecond, and again.
//!
//! An event loop that looks for the next call isn't asleep, so that call would wake the control thread. While looking
//! pays, the event loop *leases* the line: the control thread doesn't watch it. A timer ends that whatever the event loop
//! does then. So what comes for one that computes is read a millisecond later at most, and one that sleeps has heard of it.

use std::{
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime},
};
use shm::doorbell::Doorbell;

use super::Line;

/// How both threads watch the line: the kernel wakes one of them for a message, and both for its end. It goes through those
/// who watch in the order in which they came to do so, and passes by an epoll in which nobody sleeps. So the event loop, which came
/// first, hears of a message if it sleeps, and else the control thread.
pub(super) const IN_TURNS: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::EXCLUSIVE);

const LEASE_NS: i64 = 1_000_000;

const LINE: u64 = 0;
const LEFT: u64 = 1;
const TIMER: u64 = 2;

#[derive(Debug)]
pub(super) struct Standby {
    epoll: OwnedFd,
    line: Line,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_leased: bool,
    /// Ends a lease. Most processes never have one.
    timer: Option<OwnedFd>,
}

impl Standby {
    /// `left` is what wakes the control thread besides.
    pub(super) fn new(line: Line, left: &Doorbell) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, left, epoll::EventData::new_u64(LEFT), epoll::EventFlags::IN)?;
        Ok(Self { epoll, line, state: Mutex::default() })
    }

    /// Watches the line. The event loop must do so already: who watches first is woken first.
    pub(super) fn watch(&self) -> Result<(), Errno> {
        epoll::add(&self.epoll, &self.line, epoll::EventData::new_u64(LINE), IN_TURNS)
    }

    /// The control thread's: sleeps until there is something to read for it.
    pub(super) fn wait(&self) -> Result<(), Errno> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 3];
        loop {
            let (ready, _) = epoll::wait(&self.epoll, &mut events, None)?;
            let mut is_for_us = false;
            for event in ready {
                match event.data.u64() {
                    TIMER => self.end_lease(),
                    _ => is_for_us = true,
                }
            }
            if is_for_us {
                return Ok(());
            }
        }
    }

    /// The event loop's: from now on it alone hears of what comes, for a millisecond. If that can't be had, both do.
    pub(super) fn lease(&self) {
        let mut state = self.state();
        if state.is_leased || self.set_timer(&mut state, LEASE_NS).is_err() {
            return;
        }
        state.is_leased = epoll::delete(&self.epoll, &self.line).is_ok();
        if !state.is_leased {
            let _ = self.set_timer(&mut state, 0);
        }
    }

    fn end_lease(&self) {
        let mut state = self.state();
        if state.is_leased {
            state.is_leased = self.watch().is_err();
            // Without memory for that it is tried again, and the event loop, if it sleeps, hears of what comes.
            let again = if state.is_leased { LEASE_NS } else { 0 };
            // That can't fail for a timer that was set before; and it isn't over any more, though nobody has read it.
            let _ = self.set_timer(&mut state, again);
        }
    }

    fn set_timer(&self, state: &mut State, nanoseconds: i64) -> Result<(), Errno> {
        if state.timer.is_none() {
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
            epoll::add(&self.epoll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?;
            state.timer = Some(timer);
        }
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: never, it_value: Timespec { tv_sec: 0, tv_nsec: nanoseconds } };
        state.timer.as_ref().map_or(Ok(()), |timer| timerfd_settime(timer, TimerfdTimerFlags::empty(), &once).map(drop))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
