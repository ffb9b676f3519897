//! What viewers of one camera get, in order, with many cursors: nobody's slowness delays another.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use media::{
    fmp4::{Fragments, Mp4Error, init_segment},
    h264::ParameterSets,
};

/// How much is kept for viewers that lag, besides the newest group of pictures.
const MAX_BYTES: usize = 16 << 20;
/// So many items at most, whatever they are: a minute and more of a usual camera.
const MAX_ITEMS: usize = 4000;
/// A viewer that is further behind than this many fragments (some five seconds) jumps.
const MAX_LAG: u64 = 150;

/// The start of a timeline.
#[derive(Debug)]
pub struct Init {
    pub mime: String,
    pub width: u32,
    pub height: u32,
    pub segment: Bytes,
}

/// Something for viewers.
#[derive(Clone, Debug)]
pub enum Item {
    /// A new timeline begins.
    Init(Arc<Init>),
    /// One picture.
    Fragment { bytes: Bytes, media_s: f64, captured_ms: f64 },
    /// What an analyser found: a finished message.
    Result(Arc<str>),
}

/// The items of a camera, numbered from 0.
#[derive(Debug, Default)]
pub struct Stream {
    timeline: Option<Timeline>,
    items: VecDeque<Item>,
    first: u64,
    bytes: usize,
    /// The number of the newest key frame of the current timeline.
    key_frame: Option<u64>,
    /// The latest presentation time of the current timeline.
    latest_pts_ns: i64,
    /// Something was lost.
    awaits_key_frame: bool,
}

#[derive(Debug)]
struct Timeline {
    parameters: ParameterSets,
    fragments: Fragments,
    init: Arc<Init>,
}

/// What a viewer gets next.
#[derive(Debug)]
pub struct Taken {
    /// Fragments that it has missed.
    pub missed: u64,
    /// What to send.
    pub items: Vec<Item>,
}

impl Stream {
    /// Adds a packet. Before the first key frame there is nothing that a viewer could begin with.
    pub fn packet(&mut self, unit: &[u8], pts_ns: i64, keyframe: bool, captured_ms: f64) -> Result<(), Mp4Error> {
        if keyframe {
            // A camera's process that was restarted may begin before its predecessor ended.
            if pts_ns <= self.latest_pts_ns {
                self.end_timeline();
            }
            self.begin_if_new(unit)?;
        }
        if self.awaits_key_frame && !keyframe {
            return Ok(());
        }
        self.awaits_key_frame = false;
        let Some(timeline) = &mut self.timeline else { return Ok(()) };
        let fragment = match timeline.fragments.push(unit, pts_ns, keyframe) {
            // Its times don't fit the timeline: the next key frame begins another one.
            Err(Mp4Error::OffAxis { .. } | Mp4Error::ParametersChanged) => {
                self.end_timeline();
                return if keyframe { self.packet(unit, pts_ns, keyframe, captured_ms) } else { Ok(()) };
            }
            Err(Mp4Error::NotKeyFrame) => return Ok(()),
            other => other?,
        };
        self.latest_pts_ns = self.latest_pts_ns.max(pts_ns);
        if keyframe {
            self.key_frame = Some(self.next());
        }
        let (bytes, media_s) = (Bytes::from(fragment.bytes), fragment.media_s);
        self.push(Item::Fragment { bytes, media_s, captured_ms });
        Ok(())
    }

    fn begin_if_new(&mut self, key_frame: &[u8]) -> Result<(), Mp4Error> {
        let Some(parameters) = ParameterSets::in_access_unit(key_frame)? else { return Ok(()) };
        if self.timeline.as_ref().is_some_and(|timeline| timeline.parameters == parameters) {
            return Ok(());
        }
        let (width, height) = parameters.size()?;
        let mime = format!("video/mp4; codecs=\"{}\"", parameters.codec());
        let init = Arc::new(Init { mime, width, height, segment: init_segment(&parameters)?.into() });
        let fragments = Fragments::new(&parameters)?;
        self.end_timeline();
        self.push(Item::Init(init.clone()));
        self.timeline = Some(Timeline { parameters, fragments, init });
        Ok(())
    }

    /// Nothing of it can be begun with any more.
    fn end_timeline(&mut self) {
        (self.timeline, self.key_frame, self.latest_pts_ns) = (None, None, i64::MIN);
    }

    /// The packets up to the next key frame are of no use: something before them is missing.
    pub fn lost(&mut self) {
        self.awaits_key_frame = true;
    }

    /// The time of a picture on the viewers' axis, if it is there.
    pub fn media_s(&self, pts_ns: i64) -> Option<f64> {
        let media_s = self.timeline.as_ref().map(|timeline| timeline.fragments.media_s(pts_ns));
        media_s.filter(|media_s| *media_s >= 0.0)
    }

    /// Adds a finding.
    pub fn result(&mut self, message: Arc<str>) {
        self.push(Item::Result(message));
    }

    /// The number that the next item will have.
    pub fn next(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    fn push(&mut self, item: Item) {
        self.bytes += size(&item);
        self.items.push_back(item);
        // The newest group of pictures stays, because without it nobody could join; but not if it grows without end, as
        // that of a camera that sends no further key frame.
        while self.bytes > MAX_BYTES || self.items.len() > 4 * MAX_LAG as usize {
            if self.key_frame.is_some_and(|key_frame| self.first >= key_frame) {
                if self.bytes <= 4 * MAX_BYTES && self.items.len() <= MAX_ITEMS {
                    break;
                }
                self.key_frame = None;
            }
            let Some(oldest) = self.items.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.first += 1;
        }
    }

    /// Takes up to `at_most` items for a viewer at `cursor`; `None` is a viewer that joins.
    pub fn take(&self, cursor: &mut Option<u64>, at_most: usize) -> Taken {
        let mut taken = Taken { missed: 0, items: Vec::new() };
        let lags = cursor.is_some_and(|at| at < self.first || self.next() - at > MAX_LAG && self.key_frame > Some(at));
        if cursor.is_none() || lags {
            let Some(key_frame) = self.key_frame else { return taken };
            if let Some(at) = *cursor {
                let passed = self.items.iter().take(self.index(key_frame)).skip(self.index(at));
                let held = passed.filter(|item| matches!(item, Item::Fragment { .. })).count() as u64;
                taken.missed = held + self.first.saturating_sub(at);
            }
            taken.items.extend(self.timeline.as_ref().map(|timeline| Item::Init(timeline.init.clone())));
            *cursor = Some(key_frame);
        }
        let at = cursor.get_or_insert(self.first);
        let fresh = self.items.iter().skip(self.index(*at)).take(at_most).cloned();
        taken.items.extend(fresh);
        *at += (self.items.len() - self.index(*at)).min(at_most) as u64;
        taken
    }

    fn index(&self, number: u64) -> usize {
        number.saturating_sub(self.first) as usize
    }
}

fn size(item: &Item) -> usize {
    match item {
        Item::Init(init) => init.segment.len(),
        Item::Fragment { bytes, .. } => bytes.len(),
        Item::Result(message) => message.len(),
    }
}

#[cfg(test)]
mod tests {
    use media::mp4::Clip;

    use super::*;

    const CLIP: &[u8] = include_bytes!("../../../../media/demo_720p25.mp4");

    /// Plays `count` pictures of the clip, from `first` on, with times that start at `at_ns`.
    fn play(stream: &mut Stream, clip: &Clip, range: std::ops::Range<usize>, at_ns: i64) {
        for unit in &clip.units()[range] {
            stream.packet(&unit.data, at_ns + unit.pts_ns, unit.keyframe, 0.0).unwrap();
        }
    }

    fn kinds(taken: &Taken) -> String {
        let kind = |item: &Item| match item {
            Item::Init(_) => 'I',
            Item::Fragment { .. } => 'f',
            Item::Result(_) => 'r',
        };
        taken.items.iter().map(kind).collect()
    }

    #[test]
    fn who_joins_begins_with_the_newest_key_frame_and_gets_each_picture_once() {
        let (clip, mut stream) = (Clip::parse(CLIP).unwrap(), Stream::default());
        let mut early = None;
        assert_eq!(kinds(&stream.take(&mut early, 100)), "");
        play(&mut stream, &clip, 0..30, 0);
        let mut late = None;
        assert_eq!(kinds(&stream.take(&mut late, 100)), "Ifffff", "from picture 25 on");
        assert_eq!(kinds(&stream.take(&mut late, 100)), "");
        play(&mut stream, &clip, 30..32, 0);
        stream.result("{}".into());
        assert_eq!(kinds(&stream.take(&mut late, 2)), "ff");
        assert_eq!(kinds(&stream.take(&mut late, 2)), "r");
    }

    #[test]
    fn who_lags_is_told_so_and_goes_on_at_a_key_frame() {
        let (clip, mut stream) = (Clip::parse(CLIP).unwrap(), Stream::default());
        play(&mut stream, &clip, 0..1, 0);
        let mut viewer = None;
        stream.take(&mut viewer, 100);
        play(&mut stream, &clip, 1..132, 0);
        let rest = clip.units().len() as i64 * 40_000_000;
        play(&mut stream, &clip, 0..60, rest);
        let taken = stream.take(&mut viewer, 1000);
        let shown = taken.items.iter().filter(|item| matches!(item, Item::Fragment { .. })).count() as u64;
        assert!(kinds(&taken).starts_with("If") && taken.missed > 0, "{}", kinds(&taken));
        assert_eq!(taken.missed + shown, 191, "all but the first picture");
    }

    #[test]
    fn times_that_go_back_begin_a_new_timeline() {
        let (clip, mut stream) = (Clip::parse(CLIP).unwrap(), Stream::default());
        play(&mut stream, &clip, 0..30, 0);
        let mut viewer = None;
        stream.take(&mut viewer, 1000);
        play(&mut stream, &clip, 0..3, 500_000_000);
        assert_eq!(kinds(&stream.take(&mut viewer, 1000)), "Ifff");
        let mut late = None;
        assert_eq!(kinds(&stream.take(&mut late, 1000)), "Ifff");
    }

    #[test]
    fn after_a_loss_nothing_is_shown_before_the_next_key_frame() {
        let (clip, mut stream) = (Clip::parse(CLIP).unwrap(), Stream::default());
        play(&mut stream, &clip, 0..10, 0);
        let mut viewer = None;
        stream.take(&mut viewer, 1000);
        stream.lost();
        play(&mut stream, &clip, 11..27, 0);
        assert_eq!(kinds(&stream.take(&mut viewer, 1000)), "ff", "pictures 25 and 26");
    }

    #[test]
    fn a_camera_without_further_key_frames_fills_no_memory() {
        let (clip, mut stream) = (Clip::parse(CLIP).unwrap(), Stream::default());
        play(&mut stream, &clip, 0..1, 0);
        for round in 0..6000 {
            let unit = &clip.units()[1];
            stream.packet(&unit.data, unit.pts_ns + round * 40_000_000, false, 0.0).unwrap();
        }
        assert!(stream.items.len() <= MAX_ITEMS && stream.bytes <= 4 * MAX_BYTES, "{} items", stream.items.len());
        let mut late = None;
        assert_eq!(kinds(&stream.take(&mut late, 1000)), "", "nothing to begin with, and that is all");
    }
}
