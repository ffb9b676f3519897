use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Ticks a second in RTP packets of video.
const RTP_HZ: i128 = 90_000;
/// From 1900, where NTP begins, to 1970.
const NTP_TO_UNIX_S: u64 = 2_208_988_800;

/// The time axis that all clients share.
pub(super) struct Clock {
    start: Instant,
    start_wall: SystemTime,
    /// RTP times begin anywhere (RFC 3550, 5.1), so that nobody relies on zero.
    rtp_start: u32,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), start_wall: SystemTime::now(), rtp_start: random() as u32 }
    }

    pub(super) fn now_ns(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    pub(super) fn at(&self, axis_ns: i64) -> Instant {
        self.start + Duration::from_nanos(axis_ns.max(0).unsigned_abs())
    }

    /// The RTP time of a moment on the axis; it wraps around every 13 hours, as it should.
    pub(super) fn rtp(&self, axis_ns: i64) -> u32 {
        let ticks = (i128::from(axis_ns) * RTP_HZ + 500_000_000).div_euclid(1_000_000_000);
        self.rtp_start.wrapping_add(ticks as u32)
    }

    /// The NTP timestamp (RFC 5905, 64 bits) of a moment on the axis.
    pub(super) fn ntp(&self, axis_ns: i64) -> u64 {
        let wall = self.start_wall + Duration::from_nanos(axis_ns.max(0).unsigned_abs());
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        (since.as_secs() + NTP_TO_UNIX_S) << 32 | fraction
    }
}

/// A number that nobody can foresee well enough to matter for a fake camera: the seed of the standard library's maps.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
