use rust_h264::decoder::{ChromaFormat, Decoder};
use rust_h264::error::DecodeError;
use rust_h264::nal::parse_avcc;

use super::Plane;
use super::engine::{Decoded, Engine, EngineError};

/// `rust_h264`: the one that knows all of High profile, interlaced video too, at half the speed.
pub(super) struct RustH264 {
    decoder: Decoder,
}

impl Default for RustH264 {
    fn default() -> Self {
        Self { decoder: Decoder::new() }
    }
}

impl Engine for RustH264 {
    fn decode(&mut self, avcc: &[u8]) -> Result<Option<Decoded>, EngineError> {
        let mut failed = None;
        for nal in parse_avcc(avcc, 4) {
            if let Err(error) = self.decoder.decode_nal(&nal) {
                failed = Some(error);
            }
        }
        // The unit is whole, so the picture is: without this it would come with the next unit.
        let frame = self.decoder.flush();
        if let Some(error) = failed {
            return Err(match error {
                DecodeError::Unsupported(what) => EngineError::Unsupported(what.into()),
                error => EngineError::Damaged(error.to_string()),
            });
        }
        let Some(frame) = frame else { return Ok(None) };
        if frame.bit_depth != 8 || frame.chroma_format != ChromaFormat::Yuv420 {
            return Err(EngineError::Unsupported(format!("{} bits, {:?}", frame.bit_depth, frame.chroma_format)));
        }
        let (width, chroma_stride) = (frame.width as usize, frame.chroma_width() as usize);
        Ok(Some(Decoded {
            width,
            height: frame.height as usize,
            y: Plane { bytes: frame.y, stride: width },
            u: Plane { bytes: frame.u, stride: chroma_stride },
            v: Plane { bytes: frame.v, stride: chroma_stride },
        }))
    }
}
