//! The kernel's cheapest wake-up: an eventfd in each direction, read in a blocking call.

use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use serde::{Deserialize, Serialize};
use shm::wire::Passed;

use crate::Outcome;

/// Two eventfds, one for each side's sleep.
#[derive(Debug, Serialize, Deserialize)]
pub struct Doorbells {
    /// Rung to wake the writer.
    pub writers: Passed,
    /// Rung to wake the reader.
    pub readers: Passed,
}

impl Doorbells {
    /// Makes both.
    ///
    /// # Errors
    ///
    /// Too many open files.
    pub fn new() -> Outcome<Self> {
        Ok(Self { writers: Passed::new(blocking()?), readers: Passed::new(blocking()?) })
    }

    /// One for whoever shares the memory anyway, or goes in a message.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { writers: self.writers.clone(), readers: self.readers.clone() }
    }
}

/// An eventfd whose reader waits.
///
/// # Errors
///
/// Too many open files.
pub fn blocking() -> Outcome<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| format!("make an eventfd: {error}"))?)
}

/// Sleeps until the bell is rung.
///
/// # Errors
///
/// What the kernel says, such as that it isn't an eventfd.
pub fn wait(bell: &Passed) -> Outcome {
    rustix::io::read(bell, &mut [0; 8]).map_err(|error| format!("wait for an eventfd: {error}"))?;
    Ok(())
}

/// Wakes who waits.
///
/// # Errors
///
/// As [`wait`].
pub fn ring(bell: &Passed) -> Outcome {
    rustix::io::write(bell, &1u64.to_ne_bytes()).map_err(|error| format!("ring an eventfd: {error}"))?;
    Ok(())
}
