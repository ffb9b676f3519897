/// Why a picture can't be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The memory that was given is too small for the view.
    #[error("the view needs {needed} bytes, and there are {given}")]
    TooSmall {
        /// How many bytes the view takes: [`Layout::length`](super::Layout::length).
        needed: usize,
        /// How many bytes there are.
        given: usize,
    },
    /// The picture's planes don't hold what its width and height say.
    #[error("the {plane} plane of the picture has {given} bytes, and its size needs {needed}")]
    BadPlane {
        /// Which plane: `y`, `u` or `v`.
        plane: &'static str,
        /// How many bytes the plane has to have.
        needed: usize,
        /// How many it has.
        given: usize,
    },
    /// The picture has no pixels.
    #[error("the picture is {0}x{1} pixels")]
    NoPixels(u32, u32),
    /// The conversion refused.
    #[error("the pixels can't be converted: {0}")]
    Convert(String),
}
