//! What usually is in the picture, and which parts of it differ now.

/// Side of a cell, in pixels: smaller than anything worth a box at the sizes that are analysed.
pub(super) const CELL: usize = 8;
/// A cell has changed if this part of its samples has: noise of the sensor is spread thinner.
const CHANGED_PART: f32 = 0.35;
/// So much of the difference goes into the background with each picture: what stays is background after a second.
const LEARN_SHIFT: u32 = 4;
/// If this part of all cells changes at once, it is the light or a cut, not something that moves.
const CUT_PART: f32 = 0.5;

/// A running mean of the picture.
#[derive(Debug)]
pub(super) struct Background {
    width: usize,
    height: usize,
    /// Fixed-point, 7 bits after the point; empty before the first picture.
    mean: Vec<u16>,
}

/// For each cell, which part of it has changed; 0 if too little.
#[derive(Debug, PartialEq)]
pub(super) struct Changed {
    /// Of the picture, in pixels; the last column and row of cells may be cut by its edge.
    pub size: (usize, usize),
    pub columns: usize,
    pub rows: usize,
    pub cells: Vec<f32>,
}

impl Background {
    /// `None` for a picture without pixels.
    pub(super) fn new(width: usize, height: usize) -> Option<Self> {
        (width > 0 && height > 0).then(|| Self { width, height, mean: Vec::new() })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Compares a picture with the background, then lets it sink in. Rows that are missing count as unchanged.
    pub(super) fn compare(&mut self, picture: &[u8], stride: usize, threshold: u8) -> Changed {
        let (columns, rows) = (self.width.div_ceil(CELL), self.height.div_ceil(CELL));
        let mut counts = vec![0u32; columns * rows];
        let lines = picture.chunks(stride.max(1)).take(self.height).filter(|line| line.len() >= self.width);
        if self.mean.is_empty() {
            self.mean = vec![0; self.width * self.height];
            for (mean, line) in self.mean.chunks_mut(self.width).zip(lines) {
                mean.iter_mut().zip(line).for_each(|(mean, sample)| *mean = u16::from(*sample) << 7);
            }
            return self.unchanged();
        }
        for (y, (mean, line)) in self.mean.chunks_mut(self.width).zip(lines).enumerate() {
            let row = &mut counts[y / CELL * columns..][..columns];
            for (count, (mean, samples)) in row.iter_mut().zip(mean.chunks_mut(CELL).zip(line.chunks(CELL))) {
                for (mean, sample) in mean.iter_mut().zip(samples) {
                    let difference = (i32::from(*sample) << 7) - i32::from(*mean);
                    *count += u32::from(difference.unsigned_abs() >> 7 > u32::from(threshold));
                    *mean = (i32::from(*mean) + (difference >> LEARN_SHIFT)) as u16;
                }
            }
        }
        let side = |index: usize, whole: usize| (whole - index * CELL).min(CELL);
        let area = |cell: usize| side(cell % columns, self.width) * side(cell / columns, self.height);
        let part = |(cell, count): (usize, &u32)| *count as f32 / area(cell) as f32;
        let cells: Vec<f32> =
            counts.iter().enumerate().map(part).map(|part| if part >= CHANGED_PART { part } else { 0.0 }).collect();
        if cells.iter().filter(|part| **part > 0.0).count() as f32 > CUT_PART * cells.len() as f32 {
            self.mean.clear();
            return self.unchanged();
        }
        Changed { size: self.size(), columns, rows, cells }
    }

    fn unchanged(&self) -> Changed {
        let (columns, rows) = (self.width.div_ceil(CELL), self.height.div_ceil(CELL));
        Changed { size: self.size(), columns, rows, cells: vec![0.0; columns * rows] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_background_and_what_moves_is_not() {
        let mut background = Background::new(64, 32).unwrap();
        let still = vec![100; 64 * 32];
        assert!(background.compare(&still, 64, 20).cells.iter().all(|part| *part == 0.0));
        let mut moved = still.clone();
        (8..16).for_each(|y| moved[y * 64 + 16..y * 64 + 24].fill(200));
        let changed = background.compare(&moved, 64, 20);
        let at: Vec<usize> =
            changed.cells.iter().enumerate().filter(|(_, part)| **part > 0.0).map(|(at, _)| at).collect();
        assert_eq!((changed.columns, changed.rows, at), (8, 4, vec![8 + 2]));
        (0..100).for_each(|_| drop(background.compare(&moved, 64, 20)));
        assert!(background.compare(&moved, 64, 20).cells.iter().all(|part| *part == 0.0), "it stays, so it sinks in");
    }

    #[test]
    fn a_cut_is_no_motion() {
        let mut background = Background::new(64, 32).unwrap();
        background.compare(&[0; 64 * 32], 64, 20);
        assert!(background.compare(&[255; 64 * 32], 64, 20).cells.iter().all(|part| *part == 0.0));
        assert!(background.compare(&[255; 64 * 32], 64, 20).cells.iter().all(|part| *part == 0.0));
    }

    #[test]
    fn a_picture_shorter_than_it_says_does_no_harm() {
        let mut background = Background::new(64, 32).unwrap();
        background.compare(&[0; 100], 64, 20);
        background.compare(&[9; 64 * 32], 0, 20);
        assert!(Background::new(0, 5).is_none());
    }
}
