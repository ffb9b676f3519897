/// Why bytes aren't the H.264 that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum H264Error {
    /// A length prefix promises more bytes than there are.
    #[error("the NAL unit at byte {offset} claims {claimed} bytes, but only {left} follow")]
    Truncated {
        /// Where the length prefix begins, in bytes from the start of the access unit.
        offset: usize,
        /// The length that the prefix states, in bytes.
        claimed: usize,
        /// How many bytes follow the prefix.
        left: usize,
    },
    /// A NAL unit of no bytes, which has no type.
    #[error("the NAL unit at byte {offset} is empty")]
    EmptyNal {
        /// Where the length prefix begins, in bytes from the start of the access unit.
        offset: usize,
    },
    /// The sequence parameter set can't be parsed.
    #[error("the sequence parameter set is malformed: {0}")]
    BadSps(String),
    /// The sequence parameter set is well-formed and describes no picture that a camera could send.
    #[error(
        "the sequence parameter set asks for {width}x{height} pixels, beyond the {limit} macroblocks of H.264 level 6.2"
    )]
    TooLarge {
        /// Coded width in pixels.
        width: u64,
        /// Coded height in pixels.
        height: u64,
        /// The most macroblocks (16x16 pixels each) that are accepted.
        limit: u64,
    },
}
