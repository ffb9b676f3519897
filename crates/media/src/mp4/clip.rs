use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use mp4_atom::Avcc;

use super::{ClipError, Looped, boxes, samples};
use crate::AccessUnit;
use crate::h264::{self, H264Error, ParameterSets};

/// A clip is held in memory, and read by every process that plays it.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// The H.264 video of an MP4 file, ready to be played any number of times. Audio is left out.
#[derive(Clone)]
pub struct Clip {
    units: Vec<AccessUnit>,
    /// When each unit is due for decoding, in nanoseconds from the first.
    pub(super) dts_ns: Vec<i64>,
    duration_ns: i64,
    parameters: ParameterSets,
    size: (u32, u32),
}

impl Clip {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// When the file can't be read, isn't an MP4 file, or has no H.264 video; the error says what was found instead.
    pub fn open(path: &Path) -> Result<Self, ClipError> {
        let read = |source| ClipError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(read)?;
        let length_bytes = file.metadata().map_err(read)?.len();
        if length_bytes > MAX_FILE_BYTES {
            return Err(ClipError::TooLarge { path: path.to_owned(), length_bytes, limit_bytes: MAX_FILE_BYTES });
        }
        let mut bytes = Vec::new();
        // A device or a pipe has no length, hence the limit here too.
        file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(read)?;
        Self::parse(&bytes)
    }

    /// Reads the bytes of a whole MP4 file.
    ///
    /// # Errors
    ///
    /// When they aren't an MP4 file, or hold no H.264 video; the error says what was found instead.
    pub fn parse(file: &[u8]) -> Result<Self, ClipError> {
        let track = boxes::video_track(file)?;
        let parameters = first_parameters(&track.avcc)?;
        let size = parameters.size().map_err(ClipError::BadParameters)?;
        let mdia = &track.trak.mdia;
        let samples = samples::samples(mdia, file.len())?;
        let timescale = mdia.mdhd.timescale;
        if timescale == 0 {
            return Err(ClipError::Damaged("its timescale is zero".into()));
        }
        let first_pts = samples.iter().map(|sample| sample.pts).min().unwrap_or(0);
        let mut units = Vec::with_capacity(samples.len());
        let mut dts_ns = Vec::with_capacity(samples.len());
        for (index, sample) in samples.iter().enumerate() {
            let bytes = &file[sample.offset..sample.offset + sample.size];
            let (data, keyframe) =
                unit(bytes, &track.avcc, &parameters).map_err(|source| ClipError::BadUnit { index, source })?;
            let pts_ns = nanoseconds(sample.pts.saturating_sub(first_pts), timescale);
            units.push(AccessUnit { data, pts_ns, keyframe, discontinuity: false });
            dts_ns.push(nanoseconds(sample.dts, timescale));
        }
        if !units.first().is_some_and(|unit| unit.keyframe) {
            return Err(ClipError::NoKeyFrame);
        }
        let duration_ns = duration(&samples, timescale);
        Ok(Self { units, dts_ns, duration_ns, parameters, size })
    }

    /// The pictures in decoding order; times begin at zero.
    pub fn units(&self) -> &[AccessUnit] {
        &self.units
    }

    /// How long the clip lasts, from its first picture to the end of its last.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration_ns.unsigned_abs())
    }

    pub(super) fn duration_ns(&self) -> i64 {
        self.duration_ns
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.size
    }

    /// The parameter sets that every key frame begins with.
    pub fn parameter_sets(&self) -> &ParameterSets {
        &self.parameters
    }

    /// Pictures a second, on average.
    pub fn frame_rate(&self) -> f64 {
        self.units.len() as f64 / self.duration().as_secs_f64()
    }

    /// The clip for ever: after the last picture comes the first, and the times go on.
    pub fn looped(&self) -> Looped<'_> {
        Looped::new(self)
    }
}

/// Without the pictures, which would fill pages.
impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { units, size, .. } = self;
        let (pictures, duration) = (units.len(), self.duration());
        f.debug_struct("Clip").field("pictures", &pictures).field("size", size).field("duration", &duration).finish()
    }
}

fn first_parameters(avcc: &Avcc) -> Result<ParameterSets, ClipError> {
    let (sps, pps) = (avcc.sequence_parameter_sets.first(), avcc.picture_parameter_sets.first());
    let missing = || ClipError::Damaged("its H.264 description has no parameter sets".into());
    let (sps, pps) = sps.zip(pps).ok_or_else(missing)?;
    Ok(ParameterSets { sps: sps.clone(), pps: pps.clone() })
}

/// The unit with lengths of four bytes, and with parameter sets in front if it is a key frame without.
fn unit(sample: &[u8], avcc: &Avcc, parameters: &ParameterSets) -> Result<(Bytes, bool), H264Error> {
    let sample = widen(sample, usize::from(avcc.length_size))?;
    let mut keyframe = false;
    for nal in h264::nal_units(&sample) {
        keyframe |= h264::kind(nal?) == h264::IDR;
    }
    if !keyframe || ParameterSets::in_access_unit(&sample)?.is_some() {
        return Ok((sample.into(), keyframe));
    }
    let mut data = Vec::with_capacity(sample.len() + parameters.sps.len() + parameters.pps.len() + 64);
    // All of them, as the slices may refer to any.
    for nal in avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets) {
        h264::push_nal(&mut data, nal);
    }
    data.extend_from_slice(&sample);
    Ok((data.into(), true))
}

/// Turns lengths of one to four bytes into lengths of four.
fn widen(sample: &[u8], length_size: usize) -> Result<Vec<u8>, H264Error> {
    if length_size == 4 {
        return Ok(sample.to_vec());
    }
    let mut out = Vec::with_capacity(sample.len() + 64);
    let mut offset = 0;
    while offset < sample.len() {
        let rest = &sample[offset..];
        let claimed = rest.iter().take(length_size).fold(0, |length, byte| length << 8 | usize::from(*byte));
        let left = rest.len().saturating_sub(length_size);
        let nal = rest.get(length_size..length_size + claimed);
        let nal = nal.ok_or(H264Error::Truncated { offset, claimed, left })?;
        h264::push_nal(&mut out, nal);
        offset += length_size + claimed;
    }
    Ok(out)
}

/// From the first decoding to one frame after the last, so that a loop's seam is as long as any other frame.
fn duration(samples: &[samples::Sample], timescale: u32) -> i64 {
    let last = samples.last().map_or(0, |sample| sample.dts);
    let intervals = (samples.len().saturating_sub(1)).max(1) as i64;
    let frame = match last / intervals {
        // A single picture is shown for a second.
        0 => i64::from(timescale),
        frame => frame,
    };
    // At least a nanosecond, as rounds are counted by division.
    nanoseconds(last.saturating_add(frame), timescale).max(1)
}

fn nanoseconds(ticks: i64, timescale: u32) -> i64 {
    let ns = i128::from(ticks) * 1_000_000_000 / i128::from(timescale);
    // A clip of 73 years and more isn't one.
    ns.clamp(i128::from(i64::MIN / 4), i128::from(i64::MAX / 4)) as i64
}
