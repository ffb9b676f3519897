use super::{Format, View};

/// Where the pixels of a view lie in memory. Rows follow each other without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How the pixels are stored.
    pub format: Format,
    /// How many planes there are: 3 for I420, else 1. Only so many entries of the arrays below mean something.
    pub planes: usize,
    /// The bytes of one row of each plane.
    pub strides: [usize; 3],
    /// Where each plane begins, in bytes.
    pub offsets: [usize; 3],
    /// How many bytes the view takes in all.
    pub length: usize,
}

impl Layout {
    /// The layout of `view` for a picture of `width` by `height` pixels.
    pub fn new(view: &View, width: u32, height: u32) -> Self {
        let (width, height) = fit(view.size, width, height);
        let (w, h) = (width as usize, height as usize);
        let (chroma_w, chroma_h) = (w.div_ceil(2), h.div_ceil(2));
        let (planes, strides, offsets, length) = match view.format {
            Format::Gray8 => (1, [w, 0, 0], [0; 3], w * h),
            Format::Rgb24 | Format::Bgr24 => (1, [3 * w, 0, 0], [0; 3], 3 * w * h),
            Format::I420 => {
                let (luma, chroma) = (w * h, chroma_w * chroma_h);
                (3, [w, chroma_w, chroma_w], [0, luma, luma + chroma], luma + 2 * chroma)
            }
        };
        Self { width, height, format: view.format, planes, strides, offsets, length }
    }
}

/// The largest size inside `bounds` with the shape of the picture; sides that are scaled are even, as I420 wants.
fn fit(bounds: Option<(u32, u32)>, width: u32, height: u32) -> (u32, u32) {
    let Some((max_width, max_height)) = bounds else { return (width, height) };
    let (w, h) = (u64::from(width), u64::from(height));
    let (max_w, max_h) = (u64::from(max_width.max(2)), u64::from(max_height.max(2)));
    if w <= max_w && h <= max_h {
        return (width, height);
    }
    // The side that hits its bound first decides: w/h against max_w/max_h without fractions.
    let (scaled_w, scaled_h) =
        if w * max_h >= max_w * h { (max_w, rounded(h * max_w, w)) } else { (rounded(w * max_h, h), max_h) };
    let even = |side: u64| (side & !1).max(2) as u32;
    (even(scaled_w), even(scaled_h))
}

fn rounded(numerator: u64, denominator: u64) -> u64 {
    (numerator + denominator / 2) / denominator.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(bounds: (u32, u32), width: u32, height: u32) -> (u32, u32) {
        let layout = Layout::new(&View { size: Some(bounds), ..View::default() }, width, height);
        (layout.width, layout.height)
    }

    #[test]
    fn fits_inside_and_keeps_the_shape() {
        assert_eq!(size((640, 640), 1280, 720), (640, 360));
        assert_eq!(size((640, 100), 1280, 720), (178, 100));
        assert_eq!(size((416, 416), 960, 540), (416, 234));
        assert_eq!(size((640, 640), 320, 180), (320, 180), "never larger");
        assert_eq!(size((0, 0), 1280, 720), (2, 2));
        assert_eq!(size((100, 100), 8192, 16), (100, 2));
    }

    #[test]
    fn planes_follow_each_other() {
        let view = View { size: None, format: Format::I420, fps: None };
        let layout = Layout::new(&view, 5, 3);
        assert_eq!((layout.strides, layout.offsets, layout.length), ([5, 3, 3], [0, 15, 21], 27));
        let layout = Layout::new(&View::default(), 4, 2);
        assert_eq!((layout.planes, layout.strides[0], layout.length), (1, 12, 24));
    }
}
