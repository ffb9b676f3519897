//! Waiting for many things at once: rings, and any other descriptor.

mod set;
mod watch;

use std::time::Duration;

use rustix::event::Timespec;

pub use set::{Key, WaitError, WaitSet};
pub(crate) use watch::Watch;

/// A limit for one sleep. Longer ones than the kernel's oldest call takes (24 days) end early: whoever sleeps looks again.
pub(crate) fn timespec(limit: Duration) -> Timespec {
    const LONGEST: Duration = Duration::from_secs(24 * 24 * 3600);
    let limit = limit.min(LONGEST);
    Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) }
}
