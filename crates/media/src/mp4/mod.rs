//! Reading video out of MP4 files.

mod boxes;
mod clip;
mod error;
mod looped;
mod samples;

pub use clip::Clip;
pub use error::ClipError;
pub use looped::{Looped, LoopedUnit};
