use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::engine::{Decoded, Engine, EngineError};
use super::reorder::Reorder;
use super::rust_h264::RustH264;
use super::rusty_h264::RustyH264;
use super::{DecodeError, Decoder, Picture};
use crate::h264::{self, Colour, H264Error, Matrix, ParameterSets};

/// An engine with what it lacks for a hostile world: a check of what goes in, a net under its panics, order, and the
/// knowledge of what is damaged.
pub(super) struct Guarded {
    engine: Box<dyn Engine>,
    /// Whether the faster engine met something that it doesn't know.
    fell_back: bool,
    reorder: Reorder,
    colour: Colour,
    /// Whether a key frame was seen, so that something can be decoded at all.
    started: bool,
    damaged: bool,
}

impl Guarded {
    pub(super) fn new() -> Self {
        Self {
            engine: Box::new(RustyH264::default()),
            fell_back: false,
            reorder: Reorder::default(),
            colour: Colour { full_range: false, matrix: Matrix::Bt709 },
            started: false,
            damaged: false,
        }
    }

    /// A fresh engine, of the kind that the stream needs.
    fn fresh_engine(&self) -> Box<dyn Engine> {
        if self.fell_back { Box::new(RustH264::default()) } else { Box::new(RustyH264::default()) }
    }

    /// Everything that is known to be wrong without decoding, so that no engine has to cope with it.
    fn check(&mut self, unit: &[u8]) -> Result<(), H264Error> {
        for nal in h264::nal_units(unit) {
            let nal = nal?;
            if h264::kind(nal) == h264::SPS {
                // Engines allocate by the size that is stated here.
                ParameterSets { sps: nal.to_vec(), pps: Vec::new() }.size()?;
            }
        }
        if let Some(parameters) = ParameterSets::in_access_unit(unit)? {
            self.colour = parameters.colour()?;
            self.reorder.declare(parameters.reorder_frames()?);
        }
        Ok(())
    }

    /// One unit through the engine, with the other engine tried where this one lacks a feature.
    fn run(&mut self, unit: &[u8], keyframe: bool) -> Result<Option<Decoded>, DecodeError> {
        match self.run_once(unit) {
            Err(DecodeError::Unsupported(what)) if !self.fell_back => {
                tracing::info!(what, "the faster H.264 decoder lacks a feature of this stream; using the complete one");
                self.fell_back = true;
                self.engine = self.fresh_engine();
                // In mid-stream the new engine has no pictures to build on; the next key frame brings them.
                self.started = keyframe;
                if keyframe { self.run_once(unit) } else { Ok(None) }
            }
            outcome => outcome,
        }
    }

    fn run_once(&mut self, unit: &[u8]) -> Result<Option<Decoded>, DecodeError> {
        let engine = &mut self.engine;
        // Unwind safety: the engine is thrown away below, so nobody sees what the panic left of it.
        match catch_unwind(AssertUnwindSafe(|| engine.decode(unit))) {
            Ok(Ok(decoded)) => Ok(decoded),
            Ok(Err(EngineError::Damaged(what))) => Err(DecodeError::Damaged(what)),
            Ok(Err(EngineError::Unsupported(what))) => Err(DecodeError::Unsupported(what)),
            Err(panic) => {
                self.engine = self.fresh_engine();
                self.started = false;
                Err(DecodeError::Panicked(message(panic.as_ref())))
            }
        }
    }

    fn picture(&self, decoded: Decoded, pts_ns: i64, keyframe: bool) -> Picture {
        let Decoded { width, height, y, u, v } = decoded;
        Picture {
            // `check` bounds both sides far below 32 bits.
            width: width as u32,
            height: height as u32,
            y,
            u,
            v,
            colour: self.colour,
            pts_ns,
            keyframe,
            damaged: self.damaged,
        }
    }
}

impl Decoder for Guarded {
    fn decode(&mut self, unit: &[u8], pts_ns: i64, keyframe: bool) -> Result<Vec<Picture>, DecodeError> {
        if !self.started && !keyframe {
            return Ok(Vec::new());
        }
        if let Err(error) = self.check(unit) {
            self.damaged = true;
            return Err(error.into());
        }
        if keyframe {
            (self.started, self.damaged) = (true, false);
        }
        match self.run(unit, keyframe) {
            Ok(Some(decoded)) => Ok(self.reorder.push(self.picture(decoded, pts_ns, keyframe))),
            Ok(None) => Ok(Vec::new()),
            Err(error) => {
                self.damaged = true;
                Err(error)
            }
        }
    }

    fn note_loss(&mut self) {
        self.damaged = true;
    }

    fn flush(&mut self) -> Vec<Picture> {
        self.reorder.flush()
    }

    fn reset(&mut self) {
        // What the next stream needs isn't known, so the faster engine gets another try.
        *self = Self::new();
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panic".into())
}
