//! A picture at the size and in the format that a consumer asked for.

mod error;
mod layout;
mod pace;
mod scaler;
mod text;

pub use error::ViewError;
pub use layout::Layout;
pub use pace::Pace;
pub use scaler::Scaler;
pub use text::NoView;

use serde::{Deserialize, Serialize};

/// How the pixels of a view are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One byte a pixel: brightness from 0 to 255.
    Gray8,
    /// Three bytes a pixel: red, green, blue.
    #[default]
    Rgb24,
    /// Three bytes a pixel: blue, green, red, as OpenCV has it.
    Bgr24,
    /// Three planes, as decoded: luma, and the two chroma planes at half the width and height. Samples keep the
    /// range that the stream has.
    I420,
}

/// What a consumer wants to see of a camera.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct View {
    /// The largest width and height in pixels; the view fits inside and keeps the shape of the picture. A picture
    /// that is smaller stays as it is. Without it the view is as large as the picture.
    pub size: Option<(u32, u32)>,
    /// How the pixels are stored.
    pub format: Format,
    /// The most pictures a second; all without it. See [`Pace`].
    pub fps: Option<f64>,
}
