//! Finds what moves.

mod background;
mod regions;

use graph::{Arrived, Block, BlockContext, BoxError, Frame, Info, InputPort, Output, OutputPort, RingOptions};
use serde::{Deserialize, Serialize};

use self::background::Background;
use crate::{Found, Picture};

/// Compares each picture with what usually is there, and says where it differs.
#[derive(Debug)]
pub struct Motion {
    config: MotionConfig,
    background: Option<Background>,
    output: Output<Found>,
}

/// What a [`Motion`] is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MotionConfig {
    /// A sample counts as changed if it differs from what is usual by more than this, of 255.
    pub threshold: u8,
    /// Regions smaller than this fraction of the picture are left out.
    pub least_area: f32,
}

impl Default for MotionConfig {
    fn default() -> Self {
        Self { threshold: 20, least_area: 0.004 }
    }
}

/// Findings are small; half a hundred regions fit.
const FOUND_BYTES: usize = 4096;
/// Whoever draws them should get them all.
const DEPTH: u32 = 64;

impl Motion {
    /// Where it looks, in gray (`gray8`).
    pub const PICTURES: InputPort<Picture> = InputPort::new("pictures");
    /// What it finds, for every undamaged picture.
    pub const FOUND: OutputPort<Found> = OutputPort::new("found");

    fn look(&mut self, picture: &Frame) -> Vec<crate::Region> {
        let info = picture.info();
        let (width, height, stride) = (info.width as usize, info.height as usize, info.strides[0] as usize);
        let rows = picture.bytes().get(info.offsets[0] as usize..).unwrap_or_default();
        // Another size is another camera setting; nothing of the old background is true any more.
        let known = self.background.as_ref().is_some_and(|known| known.size() == (width, height));
        if !known || info.has(Info::FLAG_DISCONTINUITY) {
            self.background = Background::new(width, height);
        }
        let Some(background) = &mut self.background else { return Vec::new() };
        let changed = background.compare(rows, stride, self.config.threshold);
        regions::of(&changed, self.config.least_area)
    }
}

impl Block for Motion {
    const KIND: &'static str = "motion";
    type Config = MotionConfig;

    fn start(config: MotionConfig, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let output = cx.output(Self::FOUND, RingOptions { depth: DEPTH, frame_bytes: FOUND_BYTES })?;
        Ok(Self { config, background: None, output })
    }

    fn frame(&mut self, from: Arrived<'_>, picture: Frame, _cx: &mut BlockContext) -> Result<(), BoxError> {
        // What loss has smeared over a picture moves too, but means nothing.
        if picture.info().has(Info::FLAG_DAMAGED) {
            return Ok(());
        }
        let (camera, block) = (from.label.to_owned(), Self::KIND.to_owned());
        let boxes = self.look(&picture);
        let found = Found { camera, block, sequence: picture.sequence(), boxes, result: None };
        found.publish(&mut self.output, picture.info())
    }
}
