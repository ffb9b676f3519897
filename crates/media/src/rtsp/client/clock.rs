use std::time::Instant;

/// A camera's clock may gain this much on ours between two pictures before it counts as a leap: more than the pictures of
/// a burst gain, which are dated a frame apart and come at once.
///
/// That it falls behind means nothing: the network stood still, and what it held back is about to come.
const MAX_GAIN_NS: i64 = 3_000_000_000;
/// And go back this far, which is more than B-frames ever do.
const MAX_BACK_NS: i64 = 1_000_000_000;

/// Turns a camera's timestamps into an axis that begins at zero and never jumps.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// What is added to a camera's time.
    shift_ns: i64,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    camera_ns: i64,
    received: Instant,
}

impl Clock {
    /// The time on the axis for a picture that the camera dates `camera_ns`, and whether the camera's clock jumped.
    pub(super) fn place(&mut self, camera_ns: i64, received: Instant) -> (i64, bool) {
        let jumped = match self.last {
            None => {
                self.shift_ns = camera_ns.saturating_neg();
                false
            }
            Some(last) => {
                let passed_ns = i64::try_from(received.saturating_duration_since(last.received).as_nanos());
                let step_ns = camera_ns.saturating_sub(last.camera_ns);
                let gain_ns = step_ns.saturating_sub(passed_ns.unwrap_or(i64::MAX));
                let jumped = gain_ns > MAX_GAIN_NS || step_ns < -MAX_BACK_NS;
                if jumped {
                    self.shift_ns = self.shift_ns.saturating_sub(gain_ns);
                }
                jumped
            }
        };
        self.last = Some(Last { camera_ns, received });
        (camera_ns.saturating_add(self.shift_ns), jumped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn begins_at_zero_and_keeps_the_cameras_distances() {
        let (mut clock, now) = (Clock::default(), Instant::now());
        assert_eq!(clock.place(77 * SECOND, now), (0, false));
        assert_eq!(clock.place(78 * SECOND, now + Duration::from_millis(900)), (SECOND, false));
        assert_eq!(clock.place(78 * SECOND - 40, now + Duration::from_millis(901)), (SECOND - 40, false));
    }

    #[test]
    fn a_network_that_stood_still_is_no_jump() {
        let (mut clock, now) = (Clock::default(), Instant::now());
        clock.place(0, now);
        let later = now + Duration::from_secs(20);
        for second in 1..=20 {
            assert_eq!(clock.place(second * SECOND, later), (second * SECOND, false));
        }
    }

    #[test]
    fn a_jump_is_replaced_by_the_time_that_passed() {
        for jump in [3600 * SECOND, -3600 * SECOND] {
            let (mut clock, now) = (Clock::default(), Instant::now());
            clock.place(10_000 * SECOND, now);
            let next = now + Duration::from_secs(1);
            assert_eq!(clock.place(10_000 * SECOND + jump, next), (SECOND, true));
            let next = next + Duration::from_secs(1);
            assert_eq!(clock.place(10_001 * SECOND + jump, next), (2 * SECOND, false));
        }
    }
}
