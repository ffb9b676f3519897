//! What viewers of one camera get, in order, with many cursors: nobody's slowness delays another.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use media::{
    fmp4::{Fragments, Mp4Error, init_segment},
    h264::ParameterSets,
};

/// How much is kept for viewers that lag, besides the newest group of pictures.
const MAX_BYTES: usize = 16 << 20;
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
    /// The number of the newest key frame.
    key_frame: Option<u64>,
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
            self.begin_if_new(unit)?;
        }
        let Some(timeline) = &mut self.timeline else { return Ok(()) };
        let fragment = match timeline.fragments.push(unit, pts_ns, keyframe) {
            // Its times don't fit the timeline: the next key frame begins another one.
            Err(Mp4Error::OffAxis { .. } | Mp4Error::ParametersChanged) => {
                self.timeline = None;
                return if keyframe { self.packet(unit, pts_ns, keyframe, captured_ms) } else { Ok(()) };
            }
            Err(Mp4Error::NotKeyFrame) => return Ok(()),
            other => other?,
        };
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
        self.push(Item::Init(init.clone()));
        self.timeline = Some(Timeline { parameters, fragments, init });
        Ok(())
    }

    /// The time of a picture on the viewers' axis, if there is one.
    pub fn media_s(&self, pts_ns: i64) -> Option<f64> {
        self.timeline.as_ref().map(|timeline| timeline.fragments.media_s(pts_ns))
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
        // The newest group of pictures stays, whatever its size: without it nobody could join.
        let needed = self.key_frame.unwrap_or(self.next());
        while self.bytes > MAX_BYTES || self.items.len() > 4 * MAX_LAG as usize {
            if self.first >= needed {
                break;
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
