//! How a sleeping process is woken: one eventfd, however many rings it reads.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::event::{EventfdFlags, eventfd};

use crate::wire::Passed;

/// An eventfd that others ring. What is new is seen in the rings themselves; the doorbell only ends a sleep, so
/// nothing can be lost by its counter.
///
/// One thread waits on a doorbell: it is that thread's bell. Give each thread that sleeps by itself its own.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// What the kernel says, such as too many open files.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// Wakes whoever waits. It never waits itself.
    pub fn ring(&self) {
        ring(self);
    }

    /// Takes back all the rings so far, before looking at what is new. Call it when the descriptor is readable.
    pub fn quiet(&self) {
        let mut counter = [0; 8];
        // An error can only be that nobody has rung, which is fine.
        let _ = rustix::io::read(&self.0, &mut counter);
    }

    /// As a field of a message, for whoever shall ring it.
    pub(crate) fn passed(&self) -> io::Result<Passed> {
        Ok(Passed::new(self.0.try_clone()?))
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Rings a doorbell that came from another process. What that process really sent, and whether it still lives, is
/// its own affair: no outcome concerns the one who rings. A descriptor that would block isn't an eventfd of ours.
pub(crate) fn ring(bell: impl AsFd) {
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}
