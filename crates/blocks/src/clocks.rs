//! The two clocks that a frame is stamped with.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// One instant by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub monotonic_ns: i64,
    /// Nanoseconds since 1970.
    pub wall_ns: i64,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic_ns: ns(clock_gettime(ClockId::Monotonic)), wall_ns: ns(clock_gettime(ClockId::Realtime)) }
    }
}

fn ns(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
