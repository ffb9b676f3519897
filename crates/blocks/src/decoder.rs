//! Packets to pictures, for as long as somebody wants them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use graph::{Arrived, Block, BlockContext, BoxError, Frame, Info, InputPort, Output, OutputPort, RingOptions, Text};
use media::{
    decode::{self, default_decoder},
    view::{Format, Pace, Scaler, View},
};
use serde::{Deserialize, Serialize};

use crate::{Packet, Picture};

/// Decodes H.264. It has no network and no files: a hostile stream can harm only this process.
pub struct Decoder {
    decoder: Box<dyn decode::Decoder>,
    scaler: Scaler,
    pace: Pace,
    output: Output<Picture>,
    /// The packet taken last.
    last: Option<u64>,
    /// When somebody last wanted the pictures.
    wanted_at: Instant,
    /// Nothing can be decoded before the next key frame.
    awaits_key_frame: bool,
    /// Where and when the pictures that are still inside were captured.
    inside: VecDeque<Info>,
    failing: bool,
}

/// What a [`Decoder`] is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecoderConfig {
    /// The pictures that are wanted.
    pub view: View,
}

/// Pictures that are kept for a reader that lags: it should rather skip than fall behind, but not for one late moment of
/// a loaded machine.
const DEPTH: u32 = 4;

/// So long it goes on without a reader: one that is being restarted shouldn't have to wait for a key frame.
const LINGER: Duration = Duration::from_secs(3);

/// A decoder reorders at most 16 pictures; more times than that are of packets that gave none.
const MAX_INSIDE: usize = 32;

impl Decoder {
    /// What it decodes.
    pub const PACKETS: InputPort<Packet> = InputPort::new("packets");
    /// What comes of it.
    pub const PICTURES: OutputPort<Picture> = OutputPort::new("pictures");

    fn decode(&mut self, packet: &Frame, cx: &BlockContext) -> Result<(), BoxError> {
        let info = *packet.info();
        let follows = self.last.replace(packet.sequence()).is_none_or(|last| last + 1 == packet.sequence());
        let wanted = self.output.has_readers();
        if wanted {
            self.wanted_at = Instant::now();
        } else if self.wanted_at.elapsed() > LINGER {
            self.awaits_key_frame = true;
        }
        if self.awaits_key_frame && !(wanted && info.has(Info::FLAG_KEYFRAME)) {
            return Ok(());
        }
        if std::mem::take(&mut self.awaits_key_frame) {
            self.decoder.reset();
        } else if !follows || info.has(Info::FLAG_DISCONTINUITY) {
            self.decoder.note_loss();
        }
        if self.inside.len() == MAX_INSIDE {
            self.inside.pop_front();
        }
        self.inside.push_back(info);
        match self.decoder.decode(packet.bytes(), info.pts_ns, info.has(Info::FLAG_KEYFRAME)) {
            Ok(pictures) => {
                pictures.iter().try_for_each(|picture| self.publish(picture))?;
                if std::mem::take(&mut self.failing) {
                    cx.status().set_text(Text::Detail, "");
                }
            }
            // After a loss every packet up to the next key frame may say so: once is enough.
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::warn!("could not decode the picture at {} ns: {error}", info.pts_ns);
                cx.status().set_text(Text::Detail, &format!("waiting for a key frame: {error}"));
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn publish(&mut self, picture: &decode::Picture) -> Result<(), BoxError> {
        let captured = self.inside.iter().position(|info| info.pts_ns == picture.pts_ns);
        let captured = captured.and_then(|index| self.inside.remove(index)).unwrap_or_default();
        if !self.pace.is_due(picture.pts_ns) {
            return Ok(());
        }
        let length = self.scaler.layout(picture.width, picture.height).length;
        let mut slot = self.output.reserve(length)?;
        match self.scaler.render(picture, slot.bytes_mut()) {
            Ok(layout) => {
                let mut info = Picture::info(&layout);
                (info.pts_ns, info.captured_ns, info.wall_ns) =
                    (picture.pts_ns, captured.captured_ns, captured.wall_ns);
                info.flags = captured.flags & (Info::FLAG_DISCONTINUITY | Info::FLAG_KEYFRAME);
                if picture.damaged {
                    info.flags |= Info::FLAG_DAMAGED;
                }
                slot.publish(info);
            }
            Err(error) => tracing::warn!("dropped a picture: could not {error}"),
        }
        Ok(())
    }
}

impl Block for Decoder {
    const KIND: &'static str = "decoder";
    type Config = DecoderConfig;

    fn start(config: DecoderConfig, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let output = cx.output(Self::PICTURES, RingOptions { depth: DEPTH, frame_bytes: expected(&config.view) })?;
        Ok(Self {
            decoder: default_decoder(),
            scaler: Scaler::new(config.view),
            pace: Pace::new(config.view.fps),
            output,
            last: None,
            wanted_at: Instant::now(),
            awaits_key_frame: true,
            inside: VecDeque::new(),
            failing: false,
        })
    }

    fn frame(&mut self, _from: Arrived<'_>, packet: Frame, cx: &mut BlockContext) -> Result<(), BoxError> {
        self.decode(&packet, cx)
    }
}

/// The size of a picture of this view, as far as it is known before the first one; a larger one makes the ring grow.
fn expected(view: &View) -> usize {
    let (width, height) = view.size.unwrap_or((1280, 720));
    let pixels = width as usize * height as usize;
    match view.format {
        Format::Gray8 => pixels,
        Format::I420 => pixels * 3 / 2,
        Format::Rgb24 | Format::Bgr24 => pixels * 3,
    }
}
