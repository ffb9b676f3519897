//! A camera, or a file in its place: its packets on a ring, and its state for all to see.

mod condition;
mod publisher;
mod stream;

use std::{panic::AssertUnwindSafe, thread};

use graph::{Block, BlockContext, BoxError, OutputPort, RingOptions};
use media::source::CameraUrl;
use serde::{Deserialize, Serialize};

use self::publisher::Publisher;
pub use condition::Condition;

use crate::Packet;

/// Reads a network camera or a file, for ever: it connects again whenever the stream ends.
#[derive(Debug)]
pub struct Camera;

/// What a [`Camera`] is started with.
#[derive(Debug, Serialize, Deserialize)]
pub struct CameraConfig {
    /// Where the pictures come from, password included.
    #[serde(with = "media::source::with_password")]
    pub url: CameraUrl,
}

/// How many packets stay readable: five seconds of a usual camera, so that a decoder that was restarted finds a key
/// frame to begin at and one that was slow for a moment loses nothing.
const DEPTH: u32 = 128;

/// What most packets fit into; key frames make the ring grow to their size once.
const PACKET_BYTES: usize = 16 * 1024;

impl Camera {
    /// Its packets, as they come.
    pub const PACKETS: OutputPort<Packet> = OutputPort::new("packets");
}

impl Block for Camera {
    const KIND: &'static str = "camera";
    type Config = CameraConfig;

    fn start(config: CameraConfig, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let output = cx.output(Self::PACKETS, RingOptions { depth: DEPTH, frame_bytes: PACKET_BYTES })?;
        let publisher = Publisher::new(output, cx.status().clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("stream".to_owned()).spawn(move || {
            let run = AssertUnwindSafe(|| runtime.block_on(stream::follow(config.url, publisher)));
            // Without its stream the process is of no use; its supervisor knows what to do.
            if std::panic::catch_unwind(run).is_err() {
                std::process::exit(101);
            }
        })?;
        Ok(Self)
    }
}
