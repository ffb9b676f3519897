use super::Plane;
use super::engine::{Decoded, Engine, EngineError};

/// `rusty_h264`: the faster one. It has no interlaced video, and after a loss mostly errors until the next key frame.
#[derive(Default)]
pub(super) struct RustyH264 {
    decoder: rusty_h264_decoder::Decoder,
    /// The unit with start codes in place of lengths, kept for its memory.
    annex_b: Vec<u8>,
}

impl Engine for RustyH264 {
    fn decode(&mut self, avcc: &[u8]) -> Result<Option<Decoded>, EngineError> {
        use rusty_h264_decoder::DecodeError;
        self.annex_b.clear();
        for nal in crate::h264::nal_units(avcc).map_while(Result::ok) {
            self.annex_b.extend_from_slice(&[0, 0, 0, 1]);
            self.annex_b.extend_from_slice(nal);
        }
        let frame = self.decoder.decode(&self.annex_b).map_err(|error| match error {
            DecodeError::Unsupported(what) => EngineError::Unsupported(what.to_string()),
            error => EngineError::Damaged(format!("{error:?}")),
        })?;
        Ok(frame.map(|frame| {
            let chroma_stride = frame.width.div_ceil(2);
            Decoded {
                width: frame.width,
                height: frame.height,
                y: Plane { bytes: frame.y, stride: frame.width },
                u: Plane { bytes: frame.u, stride: chroma_stride },
                v: Plane { bytes: frame.v, stride: chroma_stride },
            }
        }))
    }
}
