//! How a sleeping process is woken: one eventfd, however many rings it reads.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    fs::{AtFlags, FileType, StatxFlags, statx},
    io::retry_on_intr,
};

use crate::{call, wire::Passed};

/// Something that others ring. What is new is seen in the rings themselves; the doorbell only ends a sleep, so
/// nothing can be lost by its counter.
///
/// One thread waits on a doorbell: it is that thread's bell. Give each thread that sleeps by itself its own.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    /// What others ring.
    event: OwnedFd,
    /// An epoll that is readable from a ring on until [`Doorbell::quiet`].
    rung: OwnedFd,
}

impl Doorbell {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as too many open files.
    pub fn new() -> io::Result<Self> {
        let event = bare()?;
        let rung = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?;
        epoll::add(&rung, &event, epoll::EventData::new_u64(0), epoll::EventFlags::IN | epoll::EventFlags::ET)
            .map_err(call::failed("epoll_ctl"))?;
        let bell = Self(Arc::new(Bell { event, rung }));
        bell.quiet(); // its counter, which isn't 0, was an event
        Ok(bell)
    }

    /// Wakes whoever waits. It never waits itself.
    pub fn ring(&self) {
        ring(&self.0.event);
    }

    /// Takes back all the rings so far, before looking at what is new. Call it when the descriptor is readable.
    pub fn quiet(&self) {
        let mut event = [MaybeUninit::<epoll::Event>::uninit(); 1];
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        // An error can only be an interruption; then it is readable still.
        let _ = retry_on_intr(|| epoll::wait(&self.0.rung, &mut event, Some(&no_wait)).map(drop));
    }

    /// As a field of a message, for whoever shall ring it.
    pub(crate) fn passed(&self) -> io::Result<Passed> {
        Ok(Passed::new(self.0.event.try_clone().map_err(call::failed("fcntl"))?))
    }

    /// What is rung, for an epoll that watches it edge-triggered ([`EDGE`]): one system call a wake-up, not two.
    pub(crate) fn event(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.rung.as_fd()
    }
}

/// How a [`bare`] bell is watched: every ring is an event, and its counter stays as it is.
pub(crate) const EDGE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ET);

/// An eventfd to be rung by [`ring`], without what makes a [`Doorbell`] readable.
///
/// Its counter is 1 for good, so that a ring needn't add to it.
pub(crate) fn bare() -> io::Result<OwnedFd> {
    eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(call::failed("eventfd2"))
}

/// Rings a doorbell that came from another process. What that process did to it, and whether it still lives, is
/// its own affair: no outcome concerns the one who rings.
///
/// It adds nothing to the counter, which is the one write to an eventfd that never waits. Whoever has the descriptor could
/// fill the counter and clear `O_NONBLOCK`, and an addition would then wait for as long as they like.
pub(crate) fn ring(bell: impl AsFd) {
    let _ = retry_on_intr(|| rustix::io::write(&bell, &0u64.to_ne_bytes()));
}

/// Says what is wrong with a descriptor that another process gave us to [`ring`].
///
/// # Errors
///
/// If writing to it could wait, or do anything but ring.
pub(crate) fn check(bell: impl AsFd) -> Result<(), String> {
    // Without asking whoever is behind the descriptor: a file system in user space may take for ever to answer.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = statx(bell, c"", flags, StatxFlags::TYPE).map_err(|errno| format!("statx of a doorbell: {errno}"))?;
    // An eventfd is no file, directory, pipe, socket or device; of what else is none of these, nothing waits in a write.
    match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::Unknown if found.stx_mode & 0o170_000 == 0 => Ok(()),
        kind => Err(format!("the doorbell is no eventfd but a {kind:?}")),
    }
}

#[cfg(test)]
mod tests {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        fs::{OFlags, fcntl_setfl},
    };

    use super::*;

    fn is_readable(bell: &Doorbell) -> bool {
        let mut watched = [PollFd::new(bell, PollFlags::IN)];
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }

    #[test]
    fn it_is_readable_from_a_ring_on_until_it_is_quieted() {
        let bell = Doorbell::new().unwrap();
        assert!(!is_readable(&bell));
        for _ in 0..3 {
            bell.ring();
            ring(bell.passed().unwrap());
            assert!(is_readable(&bell) && is_readable(&bell));
            bell.quiet();
            assert!(!is_readable(&bell));
        }
    }

    /// With an addition instead of a 0 this test would never end.
    #[test]
    fn a_full_counter_that_blocks_holds_nobody_up() {
        let bell = Doorbell::new().unwrap();
        let theirs = bell.passed().unwrap();
        rustix::io::write(&theirs, &(u64::MAX - 2).to_ne_bytes()).unwrap();
        fcntl_setfl(&theirs, OFlags::empty()).unwrap();
        bell.quiet();
        ring(&theirs);
        assert!(is_readable(&bell));
    }

    #[test]
    fn what_is_no_eventfd_is_refused() {
        let (reading, writing) = std::io::pipe().unwrap();
        let memory = rustix::fs::memfd_create("t", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let (socket, _) = crate::wire::Socket::pair().unwrap();
        for other in [reading.into(), writing.into(), memory, socket.into_owned()] {
            assert!(check(&other).is_err(), "{other:?}");
        }
        assert_eq!(check(Doorbell::new().unwrap().passed().unwrap()), Ok(()));
    }
}
