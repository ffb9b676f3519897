use bytes::Bytes;

/// One encoded picture, as a camera or a file delivers it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
