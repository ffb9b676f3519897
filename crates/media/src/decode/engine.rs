use super::Plane;

/// A decoder as somebody else wrote it: no guard, no order, one picture for one unit.
///
/// Pictures come in order of decoding, at once: an engine that held one back would show a live picture one frame late.
pub(super) trait Engine: Send {
    /// Decodes the NAL units of one access unit, given with lengths of four bytes that are known to add up.
    fn decode(&mut self, avcc: &[u8]) -> Result<Option<Decoded>, EngineError>;
}

/// The planes that came out of an engine, cropped.
pub(super) struct Decoded {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) y: Plane,
    pub(super) u: Plane,
    pub(super) v: Plane,
}

/// Why an engine gave no picture.
pub(super) enum EngineError {
    /// The bits make no sense.
    Damaged(String),
    /// Another engine may be able to.
    Unsupported(String),
}
