//! One view of a camera, for all who want that very one.

use std::time::{Duration, Instant};

use graph::{BlockContext, BoxError, Info, Output, OutputPort, RingOptions};
use media::{
    decode,
    view::{Format, Pace, Scaler, View},
};

use crate::Picture;

/// Pictures that are kept for a reader that lags: it should rather skip than fall behind, but not for one late moment of
/// a loaded machine.
const DEPTH: u32 = 4;

/// A view, and the ring that it is rendered into.
pub(super) struct Rendering {
    view: View,
    port: OutputPort<Picture>,
    scaler: Scaler,
    pace: Pace,
    output: Output<Picture>,
    /// When somebody last wanted it.
    wanted_at: Instant,
}

impl Rendering {
    pub(super) fn new(view: View, port: OutputPort<Picture>, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let output = cx.output(port.clone(), RingOptions { depth: DEPTH, frame_bytes: expected(&view) })?;
        let (scaler, pace) = (Scaler::new(view), Pace::new(view.fps));
        Ok(Self { view, port, scaler, pace, output, wanted_at: Instant::now() })
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    pub(super) fn port(&self) -> &OutputPort<Picture> {
        &self.port
    }

    /// Whether anybody reads it now.
    pub(super) fn has_readers(&mut self) -> bool {
        let has_readers = self.output.has_readers();
        if has_readers {
            self.wanted_at = Instant::now();
        }
        has_readers
    }

    /// How long nobody has read it.
    pub(super) fn idle(&self) -> Duration {
        self.wanted_at.elapsed()
    }

    /// Renders a picture, if one is due and anybody reads it. `captured` is what the packet said that it was in.
    pub(super) fn render(&mut self, picture: &decode::Picture, captured: &Info) -> Result<(), BoxError> {
        if !self.output.has_readers() {
            self.pace.rest();
            return Ok(());
        }
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
                slot.truncate(layout.length);
                slot.publish(info);
            }
            Err(error) => tracing::warn!("dropped a picture: could not {error}"),
        }
        Ok(())
    }
}

/// The size of a picture of this view, as far as it is known before the first one; a larger one makes the ring grow.
fn expected(view: &View) -> usize {
    let (width, height) = view.size.map_or((1280, 720), |(width, height)| (width.min(1920), height.min(1080)));
    let pixels = width as usize * height as usize;
    match view.format {
        Format::Gray8 => pixels,
        Format::I420 => pixels * 3 / 2,
        Format::Rgb24 | Format::Bgr24 => pixels * 3,
    }
}
