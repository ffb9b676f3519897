use std::time::Instant;

/// A camera's clock may run this far off ours between two pictures before it counts as a jump: more than a long pause
/// of a camera that sends only on motion would be, its clock going on with ours.
const MAX_SLIP_NS: i64 = 3_000_000_000;

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
                let slip_ns = camera_ns.saturating_sub(last.camera_ns).saturating_sub(passed_ns.unwrap_or(i64::MAX));
                // A camera may deliver a backlog in one go, so its clock may run ahead of ours as it catches up; but
                // it can't go back, except for B-frames, or leap.
                let jumped = slip_ns.saturating_abs() > MAX_SLIP_NS;
                if jumped {
                    self.shift_ns = self.shift_ns.saturating_sub(slip_ns);
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
