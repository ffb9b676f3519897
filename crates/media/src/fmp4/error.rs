use crate::h264::H264Error;

/// Why a picture can't be put into the stream.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mp4Error {
    /// The parameter sets or the picture are malformed.
    #[error(transparent)]
    H264(#[from] H264Error),
    /// The stream has to begin with a key frame, and this picture isn't one. Leave it out and try the next.
    #[error("the first picture of a stream must be a key frame")]
    NotKeyFrame,
    /// The picture brings other parameter sets than the initialisation segment has: begin a new stream with it.
    #[error("the parameter sets changed, so a new initialisation segment is due")]
    ParametersChanged,
    /// The picture has nothing but parameter sets.
    #[error("the access unit holds no picture")]
    Empty,
    /// The picture lies before the start of the stream, or centuries after it: begin a new stream.
    #[error("the presentation time {pts_ns} ns is off the time axis of the stream, so a new one is due")]
    OffAxis {
        /// The time of the picture, in nanoseconds on the source's axis.
        pts_ns: i64,
    },
    /// A box couldn't be written: the picture is larger than a box can be.
    #[error("the boxes can't be written: {0}")]
    Box(mp4_atom::Error),
}
