//! What a frame says of itself.

/// A publisher's description of a frame. `repr(C)`, without pointers: the same for every language.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Presentation time on the source's own axis, in nanoseconds.
    pub pts_ns: i64,
    /// When it was captured or received, `CLOCK_MONOTONIC`, in nanoseconds.
    pub captured_ns: i64,
    /// The same instant by the wall clock, in nanoseconds since 1970.
    pub wall_ns: i64,
    /// What it is; the numbers belong to the crates that use the ring.
    pub kind: u32,
    /// How it is laid out; as `kind`.
    pub format: u32,
    /// Width in pixels; 0 if it isn't a picture.
    pub width: u32,
    /// Height in pixels; 0 if it isn't a picture.
    pub height: u32,
    /// Bytes from one row to the next, for each plane.
    pub strides: [u32; 4],
    /// Where each plane begins, in bytes from the frame's first.
    pub offsets: [u32; 4],
    /// A sum of the `FLAG_` constants.
    pub flags: u32,
    /// For the publisher's own use.
    pub user: [u8; 64],
}

impl Info {
    /// Decoding can begin here.
    pub const FLAG_KEYFRAME: u32 = 1;
    /// Something was lost, and the content shows it.
    pub const FLAG_DAMAGED: u32 = 2;
    /// It doesn't continue what came before: loss, a loop's seam, a changed clock.
    pub const FLAG_DISCONTINUITY: u32 = 4;

    /// Whether all of `flags` are set.
    #[must_use]
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

impl Default for Info {
    fn default() -> Self {
        Self {
            pts_ns: 0,
            captured_ns: 0,
            wall_ns: 0,
            kind: 0,
            format: 0,
            width: 0,
            height: 0,
            strides: [0; 4],
            offsets: [0; 4],
            flags: 0,
            user: [0; 64],
        }
    }
}
