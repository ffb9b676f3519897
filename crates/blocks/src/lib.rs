//! Stock blocks: the only place where media and the graph meet.
//!
//! ```text
//! Camera ── Packet ──▶ Decoder ── Picture ──▶ Motion ── Found ──▶
//!    └────── Packet ──────────────────────────────────────────▶ (the browser)
//! ```
//!
//! [`Camera`] reads a network camera or a file, [`Decoder`] makes pictures of what it sends, [`Motion`] finds what
//! moves in them, an [`Analyser`] whatever a Python file looks for; [`FakeCamera`] is a camera to try all that with.
#![forbid(unsafe_code)]

mod analyser;
mod camera;
mod clocks;
mod decoder;
mod fake_camera;
mod motion;
mod payload;

pub use self::{
    analyser::{Analyser, AnalyserConfig},
    camera::{Camera, CameraConfig, Condition},
    decoder::Decoder,
    fake_camera::{FakeCamera, FakeCameraConfig},
    motion::{Motion, MotionConfig},
    payload::{Found, Packet, Picture, Region},
};
