//! The two clocks that a frame is stamped with.

use graph::monotonic_ns;
use rustix::time::{ClockId, clock_gettime};

/// One instant by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// `CLOCK_MONOTONIC`, in nanoseconds.
    pub monotonic_ns: i64,
    /// Nanoseconds since 1970.
    pub wall_ns: i64,
}

impl Moment {
    /// Now.
    #[must_use]
    pub(crate) fn now() -> Self {
        let wall = clock_gettime(ClockId::Realtime);
        // Signed, because times are subtracted from each other; it overflows after 292 years of running.
        Self { monotonic_ns: monotonic_ns().cast_signed(), wall_ns: wall.tv_sec * 1_000_000_000 + wall.tv_nsec }
    }
}
