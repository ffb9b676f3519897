//! The end of a sleep that may be long and usually isn't.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer that a sleeper watches beside everything else. It stays set over many sleeps.
///
/// A timeout of `epoll_wait` itself is set and taken back by the kernel for each sleep, which costs some 0.2 µs. Whoever
/// waits for 30 frames a second with a limit of ten seconds sets this timer every ten seconds.
#[derive(Debug)]
pub(super) struct Timer {
    descriptor: OwnedFd,
    /// When it goes off; in the past if it isn't set.
    set_to_ns: u64,
}

impl Timer {
    /// `None` if there is no descriptor left: then a timeout must do.
    pub(super) fn new() -> Option<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
        Some(Self { descriptor, set_to_ns: 0 })
    }

    /// Sees to it that it goes off after `now_ns`, at `end_ns` or before: whoever it wakes early sets it again. `false` if
    /// the kernel refuses.
    #[must_use]
    pub(super) fn go_off_by(&mut self, now_ns: u64, end_ns: u64) -> bool {
        if (now_ns + 1..=end_ns).contains(&self.set_to_ns) {
            return true;
        }
        const SECOND: u64 = 1_000_000_000;
        let it_value = Timespec { tv_sec: (end_ns / SECOND) as i64, tv_nsec: (end_ns % SECOND) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        let set = timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &once).is_ok();
        self.set_to_ns = if set { end_ns } else { 0 };
        set
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
