use crate::h264::Colour;

/// A decoded picture: 8 bits a sample, chroma at half the width and height (I420).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Luma: `height` rows of `width` samples.
    pub y: Plane,
    /// Blue difference: half as many rows of half as many samples, rounded up.
    pub u: Plane,
    /// Red difference, of the same size as `u`.
    pub v: Plane,
    /// How the samples are to be turned into RGB.
    pub colour: Colour,
    /// The time that the access unit of this very picture had.
    pub pts_ns: i64,
    /// Whether this is a key frame.
    pub keyframe: bool,
    /// Whether something was lost or malformed since the last key frame, so that the picture may show garbage.
    pub damaged: bool,
}

/// The samples of one colour component, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plane {
    /// The samples, one byte each.
    pub bytes: Vec<u8>,
    /// How many bytes after one row the next begins; at least the row's own width.
    pub stride: usize,
}
