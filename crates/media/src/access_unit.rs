use std::fmt;

use bytes::Bytes;

/// One encoded picture, as a camera or a file delivers it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// The H.264 NAL units of the picture, each preceded by its length as four big-endian bytes ("AVCC").
    ///
    /// A key frame begins with its SPS and PPS, so a reader can begin at any key frame.
    pub data: Bytes,
    /// When to present the picture, in nanoseconds on the source's own time axis, which begins near zero.
    ///
    /// It rises from unit to unit, except that a stream with B-frames delivers later pictures before earlier ones.
    pub pts_ns: i64,
    /// Whether a decoder that has seen nothing yet can begin here (an IDR picture).
    pub keyframe: bool,
    /// Whether something is missing, or the source's clock jumped, between the unit before and this one.
    pub discontinuity: bool,
}

/// With the length of the data in place of the data.
impl fmt::Debug for AccessUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessUnit")
            .field("length", &self.data.len())
            .field("pts_ns", &self.pts_ns)
            .field("keyframe", &self.keyframe)
            .field("discontinuity", &self.discontinuity)
            .finish()
    }
}
