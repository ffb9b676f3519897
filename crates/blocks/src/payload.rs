//! What the wires between the stock blocks carry.

use graph::{BoxError, Frame, Info, Output, Payload};
use media::view::{Format, Layout};
use serde::{Deserialize, Serialize};

/// One encoded picture: an H.264 access unit, each NAL unit behind its length in four big-endian bytes. Key frames
/// carry their parameter sets, so a reader can begin at any of them.
#[derive(Debug)]
pub enum Packet {}

/// A decoded picture; its `Info` has size, format, strides and offsets.
#[derive(Debug)]
pub enum Picture {}

/// What an analyser found in one picture. Its frame is MessagePack, the `Info` that of the picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The camera whose picture it was.
    pub camera: String,
    /// The analyser.
    pub block: String,
    /// The picture's number among those that the decoder made of this view.
    pub sequence: u64,
    /// All that was found; empty if nothing was.
    pub boxes: Vec<Region>,
    /// All that it said, as JSON, if it said more than boxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// A rectangle in fractions of the picture's width and height, from the top left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
    /// What it is; empty if that isn't known.
    pub label: String,
    /// From 0 to 1.
    pub score: f32,
}

impl Payload for Packet {
    const NAME: &'static str = "H.264 packets";
}

impl Payload for Picture {
    const NAME: &'static str = "pictures";
}

impl Payload for Found {
    const NAME: &'static str = "findings";
}

impl Packet {
    /// [`Info::kind`] of its frames.
    pub const KIND: u32 = 1;
}

impl Picture {
    /// [`Info::kind`] of its frames.
    pub const KIND: u32 = 2;

    /// [`Info::format`] of pictures that are stored so.
    #[must_use]
    pub const fn format_code(format: Format) -> u32 {
        format as u32 + 1
    }

    /// Describes a picture laid out so.
    pub(crate) fn info(layout: &Layout) -> Info {
        let of = |values: [usize; 3]| [values[0] as u32, values[1] as u32, values[2] as u32, 0];
        Info {
            kind: Self::KIND,
            format: Self::format_code(layout.format),
            width: layout.width,
            height: layout.height,
            strides: of(layout.strides),
            offsets: of(layout.offsets),
            ..Info::default()
        }
    }
}

impl Found {
    /// [`Info::kind`] of its frames.
    pub const KIND: u32 = 3;

    /// Publishes it as the finding in the picture that `info` describes.
    ///
    /// # Errors
    ///
    /// If it has no encoding, or there is no memory for it.
    pub fn publish(&self, output: &mut Output<Self>, info: &Info) -> Result<(), BoxError> {
        let found = rmp_serde::to_vec_named(self)?;
        let mut slot = output.reserve(found.len())?;
        slot.bytes_mut().copy_from_slice(&found);
        slot.publish(Info { kind: Self::KIND, format: 0, ..*info });
        Ok(())
    }

    /// Reads a frame of this kind.
    ///
    /// # Errors
    ///
    /// If its bytes are something else.
    pub fn read(frame: &Frame) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(frame.bytes())
    }
}
