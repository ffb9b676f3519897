//! What of H.264 has to be understood without decoding it: NAL units and parameter sets.

mod error;
mod nal;
mod parameters;
mod sps;

pub use error::H264Error;
pub use nal::{NalUnits, nal_units};
pub use parameters::{Colour, Matrix, ParameterSets};

pub(crate) use nal::AUD;
pub(crate) use nal::{IDR, PPS, SPS, kind, push_nal};
