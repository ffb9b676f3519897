//! What the control thread sleeps on: the line, but while the event loop looks for the next call by itself.
//!
//! An event loop that looks isn't asleep, so whatever comes would wake the control thread, too. So the control thread *stands
//! back* meanwhile: its epoll doesn't have the line. It has it again before the event loop does anything else.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};
use shm::doorbell::Doorbell;

use super::Line;

/// How both threads watch the line: the kernel wakes one of them for a message, and both for its end. It goes through those
/// who watch in the order in which they came to do so, and passes by an epoll in which nobody sleeps. So the event loop, which came
/// first and stays, hears of a message if it sleeps, and else the control thread.
pub(super) const IN_TURNS: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::EXCLUSIVE);

/// How often a line is read that can't be watched.
const UNWATCHED: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

#[derive(Debug)]
pub(super) struct Standby {
    epoll: OwnedFd,
    line: Line,
    /// The control thread's: the event loop has left something unread, and is about to be busy.
    left: Doorbell,
    /// The kernel had no room to watch the line again. It changes before `left` is rung, which wakes whoever looks at it.
    is_unwatched: AtomicBool,
}

impl Standby {
    pub(super) fn new(line: Line) -> io::Result<Self> {
        let (epoll, left) = (epoll::create(epoll::CreateFlags::CLOEXEC)?, Doorbell::new()?);
        epoll::add(&epoll, &left, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
        Ok(Self { epoll, line, left, is_unwatched: AtomicBool::new(false) })
    }

    /// Watches the line. The event loop must do so already: who watches first is woken first.
    pub(super) fn watch(&self) -> Result<(), Errno> {
        epoll::add(&self.epoll, &self.line, epoll::EventData::new_u64(1), IN_TURNS)
    }

    /// The control thread's: sleeps until there is something to read for it.
    pub(super) fn wait(&self) -> Result<(), Errno> {
        let limit = self.is_unwatched.load(Ordering::SeqCst).then_some(&UNWATCHED);
        epoll::wait(&self.epoll, &mut [MaybeUninit::<epoll::Event>::uninit(); 2], limit)?;
        // Before the line is read: what is left from now on rings again.
        self.left.quiet();
        if limit.is_some() {
            // Before it is watched: from then on the event loop may find that it can't be again.
            self.is_unwatched.store(false, Ordering::SeqCst);
            if self.watch().is_err() {
                self.is_unwatched.store(true, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// The event loop's: something is left that the control thread is to read.
    pub(super) fn ring(&self) {
        self.left.ring();
    }

    /// The event loop's: it alone hears of what comes, until this is dropped. `None`: both do.
    pub(super) fn stand_back(&self) -> Option<Back<'_>> {
        epoll::delete(&self.epoll, &self.line).is_ok().then_some(Back(self))
    }
}

/// The control thread stands back. What is unread when this is dropped wakes it.
#[derive(Debug)]
pub(super) struct Back<'s>(&'s Standby);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if self.0.watch().is_err() {
            self.0.is_unwatched.store(true, Ordering::SeqCst);
            self.0.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use shm::wire::{Packet, Socket};

    use super::*;

    fn standby() -> (Standby, Socket) {
        let (ours, theirs) = Socket::pair().unwrap();
        let standby = Standby::new(Line::over(ours)).unwrap();
        standby.watch().unwrap();
        (standby, theirs)
    }

    fn is_told(standby: &Standby) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 2];
        !epoll::wait(&standby.epoll, &mut events, Some(&now)).unwrap().0.is_empty()
    }

    #[test]
    fn while_it_stands_back_it_is_told_of_nothing_and_then_of_what_is_unread() {
        let (standby, theirs) = standby();
        let back = standby.stand_back().unwrap();
        theirs.send(&Packet::default()).unwrap();
        assert!(!is_told(&standby));
        drop(back);
        assert!(is_told(&standby));
    }

    #[test]
    fn a_line_that_cannot_be_watched_again_is_read_until_it_can() {
        let (standby, theirs) = standby();
        let back = standby.stand_back().unwrap();
        // As if there were no room: it can't be watched twice.
        epoll::add(&standby.epoll, &standby.line, epoll::EventData::new_u64(1), epoll::EventFlags::empty()).unwrap();
        drop(back);
        for _ in 0..3 {
            standby.wait().unwrap(); // though nothing comes
            assert!(standby.is_unwatched.load(Ordering::SeqCst));
        }
        epoll::delete(&standby.epoll, &standby.line).unwrap();
        standby.wait().unwrap();
        assert!(!standby.is_unwatched.load(Ordering::SeqCst) && !is_told(&standby));
        theirs.send(&Packet::default()).unwrap();
        assert!(is_told(&standby));
    }
}
