//! A picture, what its reader must make of it, and what it costs to write and read it on one core.

use std::hint::black_box;

use crate::samples::now_ns;

/// 1920x1080, three bytes a pixel.
pub const BYTES: usize = 1920 * 1080 * 3;

/// What is sent, and what its reader must make of it.
pub struct Picture {
    /// Noise.
    pub bytes: Vec<u8>,
    /// Their [`sum`].
    pub sum: u64,
}

/// Instants of one hand-over, in nanoseconds of the clock of [`now_ns`].
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The writer begins to write.
    pub start: i64,
    /// It has written the last byte.
    pub written: i64,
    /// The reader has the picture.
    pub had: i64,
    /// It has read the last byte.
    pub read: i64,
}

/// One thread that writes and then reads, into as many buffers in turn as a ring has slots: the limit, as there is
/// nobody to tell and nobody to wake.
pub struct Alone {
    buffers: Vec<Vec<u8>>,
    turn: usize,
}

impl Picture {
    /// Noise that `seed` decides.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        let bytes: Vec<u8> = (0..BYTES).map(|_| noise()).collect();
        let sum = sum(&bytes);
        Self { bytes, sum }
    }
}

impl Alone {
    /// With memory for `buffers` pictures.
    #[must_use]
    pub fn new(buffers: usize) -> Self {
        Self { buffers: vec![vec![0; BYTES]; buffers], turn: 0 }
    }

    /// Copies and sums one picture.
    pub fn pass(&mut self, picture: &[u8]) -> (Times, u64) {
        self.turn = (self.turn + 1) % self.buffers.len();
        let buffer = &mut self.buffers[self.turn];
        let start = now_ns();
        buffer.copy_from_slice(picture);
        let written = now_ns();
        let sum = sum(buffer);
        (Times { start, written, had: written, read: now_ns() }, sum)
    }
}

/// Reads every byte, as fast as memory gives them.
#[must_use]
pub fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = black_box(bytes).as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_ne_bytes(*word)).fold(0, u64::wrapping_add);
    black_box(rest.iter().map(|byte| u64::from(*byte)).fold(words, u64::wrapping_add))
}
