//! Bytes, read as choices.

/// What is left of the bytes. When they are used up every choice is the first one, and [`is_over`](Self::is_over) says so.
pub struct Script<'b>(&'b [u8]);

impl<'b> Script<'b> {
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    /// Up to `most`.
    pub fn bytes(&mut self, most: usize) -> &'b [u8] {
        let count = usize::from(self.byte()).min(most).min(self.0.len());
        self.0.split_off(..count).unwrap_or_default()
    }

    /// 0 to `end - 1`.
    pub fn below(&mut self, end: usize) -> usize {
        (usize::from(self.byte()) | usize::from(self.byte()) << 8) % end
    }

    /// One time in `n`.
    pub fn rarely(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// Small, large, at an edge, or anything.
    pub fn number(&mut self) -> u64 {
        match self.byte() % 8 {
            0 => 0,
            1..=3 => u64::from(self.byte()),
            4 => u64::MAX - u64::from(self.byte() % 4),
            5 => 1u64.wrapping_shl(self.byte().into()).wrapping_sub(u64::from(self.byte() % 2)),
            6 => u64::from(u32::MAX) - u64::from(self.byte() % 2),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }
}
