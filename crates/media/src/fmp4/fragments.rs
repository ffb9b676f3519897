use mp4_atom::{Encode, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples};

use super::init::TRACK;
use super::timeline::{Timeline, Times};
use super::{Mp4Error, TIMESCALE};
use crate::h264::{self, ParameterSets};

/// `sample_depends_on` = 2: a key frame needs no other picture.
const FLAGS_KEYFRAME: u32 = 0x0200_0000;
/// `sample_depends_on` = 1, and `sample_is_non_sync_sample`.
const FLAGS_OTHER: u32 = 0x0101_0000;

/// One picture of a live stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragment {
    /// `moof` and `mdat`, to be appended to a source buffer after the initialisation segment.
    pub bytes: Vec<u8>,
    /// When the picture is shown, in seconds on the time axis of the stream: what `requestVideoFrameCallback` reports
    /// as `mediaTime`.
    pub media_s: f64,
    /// Whether a player can begin here.
    pub keyframe: bool,
}

/// Turns the access units of one stream into fragments.
///
/// The time axis starts near zero: at the first picture, plus as many frames as a stream with B-frames has to be shown
/// late.
#[derive(Debug)]
pub struct Fragments {
    parameters: ParameterSets,
    timeline: Timeline,
    sequence: u32,
}

impl Fragments {
    /// Begins a stream, whose first part is the [`init_segment`](super::init_segment) of the same parameter sets.
    ///
    /// # Errors
    ///
    /// When the sequence parameter set is malformed.
    pub fn new(parameters: &ParameterSets) -> Result<Self, Mp4Error> {
        // Cameras that don't say have no B-frames.
        let depth = parameters.reorder_frames()?.unwrap_or(0);
        Ok(Self { parameters: parameters.clone(), timeline: Timeline::new(depth as usize), sequence: 0 })
    }

    /// Makes a fragment of the access unit `unit` (AVCC), which is to be presented at `pts_ns` on the source's axis.
    ///
    /// Access unit delimiters are left out, and so are the parameter sets that the initialisation segment has.
    ///
    /// # Errors
    ///
    /// When the first unit isn't a key frame, the parameter sets changed, or the time is off the axis: see
    /// [`Mp4Error`], which says what to do. The stream stays as it was, so the caller may also go on with the next
    /// unit.
    pub fn push(&mut self, unit: &[u8], pts_ns: i64, keyframe: bool) -> Result<Fragment, Mp4Error> {
        if self.sequence == 0 && !keyframe {
            return Err(Mp4Error::NotKeyFrame);
        }
        if ParameterSets::in_access_unit(unit)?.is_some_and(|new| new != self.parameters) {
            return Err(Mp4Error::ParametersChanged);
        }
        let sample = self.strip(unit)?;
        let times = self.timeline.place(pts_ns).ok_or(Mp4Error::OffAxis { pts_ns })?;
        self.sequence = self.sequence.wrapping_add(1).max(1);
        let bytes = boxes(self.sequence, times, &sample, keyframe).map_err(Mp4Error::Box)?;
        Ok(Fragment { bytes, media_s: self.media_s(pts_ns), keyframe })
    }

    /// Where `pts_ns` of the source lies on the time axis of the stream, in seconds: exactly the
    /// [`media_s`](Fragment::media_s) of the picture that has this time. Before the first picture it is the place of
    /// the first.
    pub fn media_s(&self, pts_ns: i64) -> f64 {
        self.timeline.ticks(pts_ns) as f64 / f64::from(TIMESCALE)
    }

    fn strip(&self, unit: &[u8]) -> Result<Vec<u8>, Mp4Error> {
        let mut sample = Vec::with_capacity(unit.len());
        for nal in h264::nal_units(unit) {
            let nal = nal?;
            let known = nal == self.parameters.sps || nal == self.parameters.pps;
            if !known && h264::kind(nal) != h264::AUD {
                h264::push_nal(&mut sample, nal);
            }
        }
        if sample.is_empty() { Err(Mp4Error::Empty) } else { Ok(sample) }
    }
}

fn boxes(sequence_number: u32, times: Times, sample: &[u8], keyframe: bool) -> mp4_atom::Result<Vec<u8>> {
    let entry = TrunEntry {
        duration: Some(times.duration),
        size: Some(u32::try_from(sample.len()).map_err(|_| mp4_atom::Error::InvalidSize)?),
        flags: Some(if keyframe { FLAGS_KEYFRAME } else { FLAGS_OTHER }),
        cts: Some(times.offset),
    };
    let mut moof = Moof {
        mfhd: Mfhd { sequence_number },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: TRACK, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: times.dts }),
            trun: vec![Trun { data_offset: Some(0), samples: TrunSamples::Explicit(vec![entry]) }],
            ..Traf::default()
        }],
    };
    let mut out = Vec::with_capacity(sample.len() + 256);
    moof.encode(&mut out)?;
    // The sample follows the eight bytes of the header of `mdat`; the offset has a fixed width, so nothing moves.
    moof.traf[0].trun[0].data_offset = Some(out.len() as i32 + 8);
    out.clear();
    moof.encode(&mut out)?;
    let length = u32::try_from(sample.len() + 8).map_err(|_| mp4_atom::Error::InvalidSize)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(b"mdat");
    out.extend_from_slice(sample);
    Ok(out)
}
