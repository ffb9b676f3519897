//! Live video for a browser's Media Source buffer: fragmented MP4 (ISO/IEC 14496-12), one picture a fragment.
//!
//! A stream is one [`init_segment`] and then the bytes of each [`Fragment`]. When the parameter sets change, or the
//! source's time starts anew, begin again with both. The design is in `docs/design/live-mp4.md`.

mod error;
mod fragments;
mod init;
mod timeline;

pub use error::Mp4Error;
pub use fragments::{Fragment, Fragments};
pub use init::init_segment;

/// Ticks a second of all times in the stream: the clock of RTP video, so a camera's times are kept exactly.
pub const TIMESCALE: u32 = 90_000;
