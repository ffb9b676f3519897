//! From access units to pictures, in pure Rust. Which decoder, and why, is in `docs/design/h264-decoder.md`.

mod engine;
mod error;
mod guarded;
mod picture;
mod reorder;
mod rust_h264;
mod rusty_h264;

pub use error::DecodeError;
pub use picture::{Picture, Plane};

/// Turns the access units of one stream into pictures, in order of presentation.
pub trait Decoder: Send {
    /// Decodes one access unit (AVCC) and returns the pictures that can be shown now: with B-frames none or several,
    /// else the one that was put in.
    ///
    /// Units before the first key frame are skipped without an error, as nothing can be made of them.
    ///
    /// # Errors
    ///
    /// When the unit is damaged or not supported. The decoder stays usable: go on with the next unit. Pictures are
    /// [`damaged`](Picture::damaged) from then on until the next key frame, or don't come until then.
    fn decode(&mut self, unit: &[u8], pts_ns: i64, keyframe: bool) -> Result<Vec<Picture>, DecodeError>;

    /// Says that units were lost before the next one, so that pictures are marked as
    /// [`damaged`](Picture::damaged) until the next key frame.
    fn note_loss(&mut self);

    /// Returns the pictures that are still held back, at the end of a stream.
    fn flush(&mut self) -> Vec<Picture>;

    /// Forgets everything, so that another stream can begin, with a key frame.
    fn reset(&mut self);
}

/// The decoder that is used unless something else is asked for: the faster engine, and the one that knows interlaced
/// video too where that is needed.
pub fn default_decoder() -> Box<dyn Decoder> {
    Box::new(guarded::Guarded::new())
}
