//! Packets to pictures, in as many views as are wanted, for as long as somebody wants them.

mod rendering;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use graph::{Arrived, Block, BlockContext, BoxError, Frame, Info, InputPort, OutputPort, Text};
use media::{
    decode::{self, default_decoder},
    view::View,
};

use self::rendering::Rendering;
use crate::{Packet, Picture};

/// Decodes H.264. It has no network and no files: a hostile stream can harm only this process.
///
/// Each picture is decoded once and rendered once for each view that is read: whoever wants one attaches to the
/// [variant](OutputPort::variant) of [`PICTURES`](Self::PICTURES) that the view is as text, and those who want the same one share it.
pub struct Decoder {
    decoder: Box<dyn decode::Decoder>,
    views: Vec<Rendering>,
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

/// So long it goes on without a reader: one that is being restarted shouldn't have to wait for a key frame.
const LINGER: Duration = Duration::from_secs(3);

/// A decoder reorders at most 16 pictures; more times than that are of packets that gave none.
const MAX_INSIDE: usize = 32;

/// As many views of one camera; each costs a rendering a picture, and some pictures of memory.
const MAX_VIEWS: usize = 16;

impl Decoder {
    /// What it decodes.
    pub const PACKETS: InputPort<Packet> = InputPort::new("packets");
    /// What comes of it; without a variant, as [`View::default`] has it.
    pub const PICTURES: OutputPort<Picture> = OutputPort::new("pictures");

    /// Where the pictures come out as one wants to see them.
    #[must_use]
    pub fn pictures(view: &View) -> OutputPort<Picture> {
        Self::PICTURES.variant(&view.to_string())
    }

    fn decode(&mut self, packet: &Frame, cx: &mut BlockContext) -> Result<(), BoxError> {
        let info = *packet.info();
        let follows = self.last.replace(packet.sequence()).is_none_or(|last| last + 1 == packet.sequence());
        // All are asked: each takes note of it.
        let wanted = self.views.iter_mut().filter_map(|view| view.has_readers().then_some(())).count() > 0;
        self.let_go_of_the_unwanted(cx);
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
        self.views.iter_mut().try_for_each(|view| view.render(picture, &captured))
    }

    /// A view that nobody reads any more gives its memory back.
    fn let_go_of_the_unwanted(&mut self, cx: &mut BlockContext) {
        for view in self.views.extract_if(.., |view| view.idle() > LINGER) {
            cx.close(view.port());
        }
    }
}

impl Block for Decoder {
    const KIND: &'static str = "decoder";
    type Config = ();

    fn start((): (), _cx: &mut BlockContext) -> Result<Self, BoxError> {
        Ok(Self {
            decoder: default_decoder(),
            views: Vec::new(),
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

    fn wanted(&mut self, output: &str, cx: &mut BlockContext) -> Result<(), BoxError> {
        let variant = Self::PICTURES.variant_in(output);
        let variant = variant.ok_or_else(|| format!("give {output:?}: there are only pictures"))?;
        let view: View = if variant.is_empty() { View::default() } else { variant.parse()? };
        if self.views.len() == MAX_VIEWS {
            let views: Vec<String> = self.views.iter().map(|view| view.view().to_string()).collect();
            return Err(format!("give {view}: there are {MAX_VIEWS} views already: {}", views.join(", ")).into());
        }
        let port = if variant.is_empty() { Self::PICTURES } else { Self::PICTURES.variant(variant) };
        self.views.push(Rendering::new(view, port, cx)?);
        Ok(())
    }
}
