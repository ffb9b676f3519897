//! From a camera's socket to pictures, and to a browser: RTSP, H.264, colour and fragmented MP4.
//!
//! The crate turns bytes into bytes. It starts no process and no thread, and knows no shared memory, so that all of it
//! can be fuzzed and run in any kind of process; its async functions need a tokio runtime with network and time.
//!
//! What comes in is an [`AccessUnit`], from a camera ([`rtsp::client`]) or from a file ([`file::Playback`]). It leaves
//! for a browser through [`fmp4`] without being decoded, or becomes a [`decode::Picture`] and then, at the size and
//! in the format that somebody asked for, a [`view`].
//!
//! Whatever is parsed here was written by somebody else. A hostile file, stream or URL is answered with an error,
//! never with a panic and never with memory out of proportion to its own size.
#![forbid(unsafe_code)]

mod access_unit;
pub mod decode;
pub mod file;
pub mod fmp4;
pub mod h264;
pub mod mp4;
pub mod rtsp;
pub mod source;
pub mod view;

pub use access_unit::AccessUnit;
