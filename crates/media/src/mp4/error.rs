use crate::h264::H264Error;

/// Why a file isn't a clip that can be played. Each message fits "could not open clip.mp4: …".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The file couldn't be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The file is larger than a clip may be, since a clip is held in memory.
    #[error("{path}: it has {length_bytes} bytes, and a clip is held in memory: cut it to at most {limit_bytes}")]
    TooLarge {
        /// The file.
        path: std::path::PathBuf,
        /// Its size.
        length_bytes: u64,
        /// The largest size that is read.
        limit_bytes: u64,
    },
    /// The bytes are something else than an MP4 file.
    #[error("not an MP4 file: begins with {begins}")]
    NotMp4 {
        /// What the first bytes are, in words if they are well known.
        begins: String,
    },
    /// The file ends before what it announces, or a box is malformed.
    #[error("the MP4 file is damaged: {0}")]
    Damaged(String),
    /// An MP4 file in fragments, as this crate itself writes for browsers; only whole files can be read.
    #[error("the MP4 file is fragmented; rewrite it with: ffmpeg -i IN -c copy -movflags +faststart OUT.mp4")]
    Fragmented,
    /// There are tracks, and none of them is video.
    #[error("no video track in the MP4 file; it has: {found}")]
    NoVideo {
        /// The kinds of its tracks, or "no tracks".
        found: String,
    },
    /// The video is in another format.
    #[error(
        "its video track is {found}, not H.264; convert it with: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4"
    )]
    NotH264 {
        /// The format of the track.
        found: String,
    },
    /// The video track has no picture, or none to begin with.
    #[error("its video track has no key frame")]
    NoKeyFrame,
    /// A picture isn't made of NAL units.
    #[error("picture {index} of its video track is damaged: {source}")]
    BadUnit {
        /// Which picture, counted from zero in decoding order.
        index: usize,
        /// What is wrong with it.
        source: H264Error,
    },
    /// The parameter sets are malformed.
    #[error("its H.264 parameter sets can't be used: {0}")]
    BadParameters(H264Error),
}
