//! Waiting for many things at once: rings, and any other descriptor.

mod set;
mod watch;

pub use set::{Key, WaitError, WaitSet};
pub(crate) use watch::Watch;
