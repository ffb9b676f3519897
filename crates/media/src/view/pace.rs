/// Chooses which pictures of a stream to render so that there are at most so many a second.
#[derive(Debug, Clone)]
pub struct Pace {
    interval_ns: Option<i64>,
    next_ns: Option<i64>,
}

impl Pace {
    /// At most `fps` pictures a second; all of them for `None` and for what isn't a positive number.
    pub fn new(fps: Option<f64>) -> Self {
        let fps = fps.filter(|fps| fps.is_finite() && *fps > 0.0);
        Self { interval_ns: fps.map(|fps| (1e9 / fps) as i64), next_ns: None }
    }

    /// Nobody looks: the next picture that is asked for begins the beat anew.
    pub fn rest(&mut self) {
        self.next_ns = None;
    }

    /// Whether the picture at `pts_ns` is to be rendered. To be asked of each picture once, in order of presentation.
    pub fn is_due(&mut self, pts_ns: i64) -> bool {
        let Some(interval_ns) = self.interval_ns else { return true };
        // An eighth of an interval early is on time, as the camera's times tremble; much more would take the picture
        // before the right one.
        let tolerance_ns = interval_ns / 8;
        let next_ns = self.next_ns.unwrap_or(pts_ns);
        let jumped_back = pts_ns < next_ns.saturating_sub(interval_ns.saturating_mul(2));
        if pts_ns < next_ns - tolerance_ns && !jumped_back {
            return false;
        }
        let on_the_beat = next_ns.saturating_add(interval_ns);
        // After a gap the beat starts anew instead of catching up.
        let late = pts_ns > on_the_beat || jumped_back;
        self.next_ns = Some(if late { pts_ns.saturating_add(interval_ns) } else { on_the_beat });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(fps: f64, source_fps: i64) -> usize {
        let mut pace = Pace::new(Some(fps));
        (0..source_fps * 10).filter(|n| pace.is_due(n * 1_000_000_000 / source_fps)).count()
    }

    #[test]
    fn as_many_as_asked_for_and_no_more() {
        assert_eq!(chosen(5.0, 25), 50);
        assert_eq!(chosen(10.0, 25), 100);
        assert_eq!(chosen(25.0, 25), 250);
        assert_eq!(chosen(60.0, 25), 250);
        assert_eq!(chosen(0.0, 25), 250, "no limit");
    }

    #[test]
    fn whoever_begins_to_look_waits_for_nothing() {
        let mut pace = Pace::new(Some(0.1));
        assert!(pace.is_due(0) && !pace.is_due(1_000_000_000));
        pace.rest();
        assert!(pace.is_due(2_000_000_000) && !pace.is_due(3_000_000_000));
    }

    #[test]
    fn survives_a_jump() {
        let mut pace = Pace::new(Some(1.0));
        assert!(pace.is_due(3_600_000_000_000));
        assert!(pace.is_due(0), "the clock began anew");
        assert!(!pace.is_due(40_000_000));
    }
}
