//! Moments that lie as far ahead as somebody wishes.

use std::time::{Duration, Instant};

/// As good as never. Long before the end of the clock, so that something can be added to it.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// So long after `now`, or as good as never: `Duration::MAX` is what many call no limit, and to add it to an instant panics.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_a_moment_too() {
        let now = Instant::now();
        assert_eq!(after(now, Duration::from_secs(1)), now + Duration::from_secs(1));
        assert_eq!(after(now, Duration::MAX), now + NEVER);
        assert!(after(after(now, Duration::MAX), Duration::MAX) > now + NEVER);
    }
}
