use super::TIMESCALE;

/// The length of a frame until two frames tell: 25 a second.
const FIRST_DURATION: u32 = TIMESCALE / 25;
/// A pause isn't a frame's length: a longer interval isn't believed.
const MAX_DURATION: u32 = TIMESCALE * 2;

/// A picture that is to be shown this long before the last one was decoded isn't a B-frame: the clock jumped.
const MAX_BEHIND: i64 = TIMESCALE as i64 * 2;

/// When one picture is decoded and shown, in ticks from the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) dts: u64,
    /// Presentation minus decoding. Negative only where a stream has more B-frames than it declared.
    pub(super) offset: i64,
    pub(super) duration: u32,
}

/// Makes decoding times out of presentation times, which is all that RTP carries.
///
/// If at most `depth` pictures precede a picture in decoding order and follow it in presentation, then the *n*-th
/// smallest presentation time, `depth` pictures late, is a decoding time: it rises strictly, and no picture is decoded
/// after it is shown. The whole stream is therefore shown `depth` frames later than its times say.
#[derive(Debug)]
pub(super) struct Timeline {
    first_pts: Option<i64>,
    /// How much later than its time on the source's axis each picture is shown, in ticks.
    delay: i64,
    depth: usize,
    /// The presentation times of pictures that no decoding time was made of yet, in ticks, ascending.
    waiting: Vec<i64>,
    last_dts: Option<i64>,
    last_duration: u32,
}

impl Timeline {
    pub(super) fn new(depth: usize) -> Self {
        Self {
            first_pts: None,
            delay: i64::from(FIRST_DURATION) * depth as i64,
            depth,
            waiting: Vec::new(),
            last_dts: None,
            last_duration: FIRST_DURATION,
        }
    }

    /// The presentation time in the stream, in ticks, of the picture that has `pts_ns` at the source.
    pub(super) fn ticks(&self, pts_ns: i64) -> i64 {
        let since = i128::from(pts_ns) - i128::from(self.first_pts.unwrap_or(pts_ns));
        // Rounded to the nearest tick: a time that came from a 90 kHz clock is met again exactly.
        let ticks = (since * i128::from(TIMESCALE) + 500_000_000).div_euclid(1_000_000_000);
        ticks as i64 + self.delay
    }

    /// Places the next picture in decoding order; `None` if it lies before the start of the stream
    /// or far behind its end.
    pub(super) fn place(&mut self, pts_ns: i64) -> Option<Times> {
        self.first_pts.get_or_insert(pts_ns);
        let pts = self.ticks(pts_ns);
        let behind = self.last_dts.map_or(0, |last| last - pts);
        if pts < 0 || behind > MAX_BEHIND {
            return None;
        }
        let at = self.waiting.partition_point(|waiting| *waiting <= pts);
        self.waiting.insert(at, pts);
        let wanted = if self.waiting.len() > self.depth {
            self.waiting.remove(0)
        } else {
            // The first pictures have nothing before them whose time they could take: they fill the delay evenly.
            let step = self.delay / self.depth.max(1) as i64;
            step * (self.waiting.len() as i64 - 1)
        };
        // The start is filled in with a guessed frame rate, and cameras repeat times: rising strictly comes first.
        let dts = self.last_dts.map_or(wanted, |last| wanted.max(last + 1));
        if let Some(last) = self.last_dts {
            self.last_duration = u32::try_from(dts - last).unwrap_or(MAX_DURATION).min(MAX_DURATION);
        }
        self.last_dts = Some(dts);
        Some(Times { dts: dts.unsigned_abs(), offset: pts - dts, duration: self.last_duration })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME_NS: i64 = 40_000_000;

    /// Decoding times rise strictly and no later than presentation, which keeps its distances.
    fn check(depth: usize, frames: &[i64]) {
        let mut timeline = Timeline::new(depth);
        let mut last = None;
        for frame in frames {
            let times = timeline.place(frame * FRAME_NS).expect("on the axis");
            assert!(last.is_none_or(|last| times.dts > last), "{frames:?} at {frame}: {times:?} after {last:?}");
            assert!(times.offset >= 0, "{frames:?} at {frame}: {times:?}");
            let shown = times.dts as i64 + times.offset;
            assert_eq!(shown, (frame - frames[0]) * 3600 + depth as i64 * 3600);
            last = Some(times.dts);
        }
    }

    #[test]
    fn pictures_in_order_are_decoded_when_shown() {
        check(0, &[0, 1, 2, 3, 4, 5]);
        check(0, &[1000, 1001, 1005, 1006]);
    }

    #[test]
    fn b_frames_are_decoded_before_they_are_shown() {
        check(1, &[0, 2, 1, 4, 3, 6, 5]);
        check(2, &[0, 4, 2, 1, 3, 8, 6, 5, 7]);
    }

    #[test]
    fn a_repeated_time_still_rises() {
        let mut timeline = Timeline::new(0);
        let first = timeline.place(0).map(|times| times.dts);
        let second = timeline.place(0).map(|times| times.dts);
        assert_eq!((first, second), (Some(0), Some(1)));
    }

    #[test]
    fn a_time_before_the_start_is_off_the_axis() {
        let mut timeline = Timeline::new(0);
        timeline.place(1_000_000_000);
        assert_eq!(timeline.place(0), None);
    }
}
