use crate::h264::H264Error;

/// Why an access unit gave no picture. Each is about one unit: the decoder goes on with the next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The unit isn't made of NAL units, or its parameter sets are malformed.
    #[error(transparent)]
    H264(#[from] H264Error),
    /// The bits of the picture make no sense, mostly because a picture that it builds on was lost.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
    /// The stream uses a part of H.264 that isn't supported.
    #[error("the stream can't be decoded ({0}); set the camera to H.264 High profile or below, 8 bits, 4:2:0")]
    Unsupported(String),
    /// The decoder failed on this unit by a fault of its own, and was started anew: it goes on at the next key frame.
    #[error("the decoder gave up on this picture ({0}) and waits for the next key frame")]
    Panicked(String),
}
