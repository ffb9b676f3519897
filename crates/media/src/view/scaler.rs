use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use super::{Format, Layout, View, ViewError};
use crate::decode::{Picture, Plane};
use crate::h264::{Colour, Matrix};

/// Renders pictures as one view. Keeps its working memory from picture to picture.
#[derive(Debug)]
pub struct Scaler {
    view: View,
    resizer: Resizer,
    /// The planes after scaling and before they are turned into RGB; and one whose rows had gaps, without.
    scaled: [Vec<u8>; 3],
    packed: Vec<u8>,
}

/// A plane without gaps between its rows.
struct Tight<'a> {
    bytes: &'a [u8],
    width: u32,
    height: u32,
}

impl Scaler {
    /// A renderer of this view. It renders every picture that it is given: [`View::fps`] is kept with
    /// [`Pace`](super::Pace).
    pub fn new(view: View) -> Self {
        Self { view, resizer: Resizer::new(), scaled: Default::default(), packed: Vec::new() }
    }

    /// How the view of a picture of `width` by `height` pixels will lie in memory.
    pub fn layout(&self, width: u32, height: u32) -> Layout {
        Layout::new(&self.view, width, height)
    }

    /// Writes the view of `picture` to the start of `out`. What follows is left alone.
    ///
    /// # Errors
    ///
    /// When `out` is too small or the planes of the picture don't fit its size; `out` may then be half-written.
    pub fn render(&mut self, picture: &Picture, out: &mut [u8]) -> Result<Layout, ViewError> {
        let Picture { width, height, .. } = *picture;
        if width == 0 || height == 0 {
            return Err(ViewError::NoPixels(width, height));
        }
        let layout = self.layout(width, height);
        let given = out.len();
        let out = out.get_mut(..layout.length).ok_or(ViewError::TooSmall { needed: layout.length, given })?;
        let (to, from) = ((layout.width, layout.height), (width, height));
        let half = |(w, h): (u32, u32)| (w.div_ceil(2), h.div_ceil(2));
        let planes = [
            ("y", &picture.y, from, to),
            ("u", &picture.u, half(from), half(to)),
            ("v", &picture.v, half(from), half(to)),
        ];
        match layout.format {
            Format::Gray8 => {
                let (name, plane, from, to) = planes[0];
                self.resize(name, plane, from, to, out)?;
                if !picture.colour.full_range {
                    stretch(out);
                }
            }
            Format::I420 => {
                let mut rest = out;
                for (name, plane, from, to) in planes {
                    let (now, later) = rest.split_at_mut(to.0 as usize * to.1 as usize);
                    self.resize(name, plane, from, to, now)?;
                    rest = later;
                }
            }
            Format::Rgb24 | Format::Bgr24 => {
                // Scaled before converted: there are half as many samples to scale, and far fewer pixels to convert.
                let mut scaled = std::mem::take(&mut self.scaled);
                for ((name, plane, from, to), scaled) in planes.into_iter().zip(&mut scaled) {
                    scaled.resize(to.0 as usize * to.1 as usize, 0);
                    self.resize(name, plane, from, to, scaled)?;
                }
                let converted = to_rgb(&scaled, &layout, picture.colour, out);
                self.scaled = scaled;
                converted?;
            }
        }
        Ok(layout)
    }

    fn resize(
        &mut self,
        name: &'static str,
        plane: &Plane,
        from: (u32, u32),
        to: (u32, u32),
        out: &mut [u8],
    ) -> Result<(), ViewError> {
        let source = tight(name, plane, from, &mut self.packed)?;
        if from == to {
            out.copy_from_slice(source.bytes);
            return Ok(());
        }
        let convert = |error: &dyn std::fmt::Display| ViewError::Convert(error.to_string());
        let source =
            ImageRef::new(source.width, source.height, source.bytes, PixelType::U8).map_err(|e| convert(&e))?;
        let mut target = Image::from_slice_u8(to.0, to.1, out, PixelType::U8).map_err(|e| convert(&e))?;
        // Each target pixel is a weighted mean of all source pixels that it covers: small faces stay faces.
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize(&source, &mut target, &options).map_err(|e| convert(&e))
    }
}

/// The plane without gaps: itself, or a copy in `packed`.
fn tight<'a>(
    name: &'static str,
    plane: &'a Plane,
    (width, height): (u32, u32),
    packed: &'a mut Vec<u8>,
) -> Result<Tight<'a>, ViewError> {
    let (w, h) = (width as usize, height as usize);
    let needed = plane.stride.saturating_mul(h - 1).saturating_add(w);
    let bad = ViewError::BadPlane { plane: name, needed, given: plane.bytes.len() };
    if plane.stride < w || plane.bytes.len() < needed {
        return Err(bad);
    }
    if plane.stride == w {
        return Ok(Tight { bytes: &plane.bytes[..w * h], width, height });
    }
    packed.clear();
    for row in plane.bytes.chunks(plane.stride).take(h) {
        packed.extend_from_slice(&row[..w]);
    }
    Ok(Tight { bytes: packed, width, height })
}

fn to_rgb(planes: &[Vec<u8>; 3], layout: &Layout, colour: Colour, out: &mut [u8]) -> Result<(), ViewError> {
    let [y_plane, u_plane, v_plane] = planes;
    let chroma_stride = layout.width.div_ceil(2);
    let image = YuvPlanarImage {
        y_plane,
        y_stride: layout.width,
        u_plane,
        u_stride: chroma_stride,
        v_plane,
        v_stride: chroma_stride,
        width: layout.width,
        height: layout.height,
    };
    let range = if colour.full_range { YuvRange::Full } else { YuvRange::Limited };
    let matrix = match colour.matrix {
        Matrix::Bt601 => YuvStandardMatrix::Bt601,
        Matrix::Bt709 => YuvStandardMatrix::Bt709,
        Matrix::Bt2020 => YuvStandardMatrix::Bt2020,
    };
    let stride = layout.width * 3;
    let convert = if layout.format == Format::Bgr24 { yuv::yuv420_to_bgr } else { yuv::yuv420_to_rgb };
    convert(&image, out, stride, range, matrix).map_err(|error| ViewError::Convert(error.to_string()))
}

/// From 16..=235 to 0..=255.
fn stretch(luma: &mut [u8]) {
    let table: [u8; 256] = std::array::from_fn(|value| {
        let above_black = value.saturating_sub(16).min(219);
        ((above_black * 255 + 109) / 219) as u8
    });
    for sample in luma {
        *sample = table[usize::from(*sample)];
    }
}
