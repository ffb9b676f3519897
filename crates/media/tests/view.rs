//! Views show what the picture shows, in the format that was asked for.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod rig;

use media::decode::{Picture, Plane, default_decoder};
use media::h264::{Colour, Matrix};
use media::view::{Format, Scaler, View, ViewError};
use rig::{ASTRONAUT, clip};

fn plane(width: usize, height: usize, stride: usize, value: u8) -> Plane {
    let mut bytes = vec![0xee; stride * height];
    bytes.chunks_mut(stride).for_each(|row| row[..width].fill(value));
    Plane { bytes, stride }
}

/// One colour all over, in the limited range of BT.709.
fn flat(width: u32, height: u32, (y, u, v): (u8, u8, u8), gap: usize) -> Picture {
    let (w, h) = (width as usize, height as usize);
    let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
    Picture {
        width,
        height,
        y: plane(w, h, w + gap, y),
        u: plane(cw, ch, cw + gap, u),
        v: plane(cw, ch, cw + gap, v),
        colour: Colour { full_range: false, matrix: Matrix::Bt709 },
        pts_ns: 0,
        keyframe: true,
        damaged: false,
    }
}

fn render(view: View, picture: &Picture) -> Vec<u8> {
    let mut scaler = Scaler::new(view);
    let mut out = vec![0; scaler.layout(picture.width, picture.height).length];
    scaler.render(picture, &mut out).unwrap();
    out
}

#[test]
fn colours_and_gaps_between_rows() {
    // Red, in BT.709: 63, 102, 240.
    for (gap, size) in [(0, None), (13, None), (0, Some((16, 16))), (13, Some((16, 16)))] {
        let red = flat(64, 36, (63, 102, 240), gap);
        let view = |format| View { size, format, fps: None };
        for pixel in render(view(Format::Rgb24), &red).chunks(3) {
            assert!(pixel[0] >= 253 && pixel[1] <= 2 && pixel[2] <= 2, "{pixel:?}");
        }
        for pixel in render(view(Format::Bgr24), &red).chunks(3) {
            assert!(pixel[2] >= 253 && pixel[1] <= 2 && pixel[0] <= 2, "{pixel:?}");
        }
        let i420 = render(view(Format::I420), &red);
        let luma = i420.len() * 2 / 3;
        assert!(i420[..luma].iter().all(|y| *y == 63));
        assert!(i420[luma..luma + luma / 4].iter().all(|u| *u == 102));
        assert!(i420[luma + luma / 4..].iter().all(|v| *v == 240));
        assert!(render(view(Format::Gray8), &red).iter().all(|y| *y == 55));
    }
    let white = flat(8, 8, (235, 128, 128), 0);
    assert!(render(View { format: Format::Gray8, ..View::default() }, &white).iter().all(|y| *y == 255));
}

#[test]
fn a_real_picture_scales_to_what_it_was() {
    let clip = clip(ASTRONAUT);
    let unit = &clip.units()[0];
    let picture = default_decoder().decode(&unit.data, 0, true).unwrap().remove(0);
    let whole = render(View { format: Format::Gray8, ..View::default() }, &picture);
    let small = render(View { size: Some((320, 320)), format: Format::Gray8, fps: None }, &picture);
    assert_eq!(small.len(), 320 * 180);
    // Each pixel is near the mean of the 3x3 that it stands for.
    let mean = |x: usize, y: usize| {
        let sum: u32 = (0..9).map(|i| u32::from(whole[(3 * y + i / 3) * 960 + 3 * x + i % 3])).sum();
        (sum / 9) as i32
    };
    let off: i64 = (0..320 * 180).map(|i| i64::from((i32::from(small[i]) - mean(i % 320, i / 320)).abs())).sum();
    assert!(off < 320 * 180 * 4, "{off}");
}

#[test]
fn memory_that_is_too_small_and_planes_that_lie_are_errors() {
    let picture = flat(64, 36, (63, 102, 240), 0);
    let mut scaler = Scaler::new(View::default());
    assert_eq!(scaler.render(&picture, &mut [0; 10]), Err(ViewError::TooSmall { needed: 6912, given: 10 }));
    let mut lying = picture.clone();
    lying.u.bytes.truncate(5);
    assert!(matches!(scaler.render(&lying, &mut [0; 6912]), Err(ViewError::BadPlane { plane: "u", .. })));
    let mut lying = picture;
    lying.width = 0;
    assert!(matches!(scaler.render(&lying, &mut [0; 6912]), Err(ViewError::NoPixels(0, 36))));
    let odd = flat(7, 5, (63, 102, 240), 3);
    assert_eq!(render(View::default(), &odd).len(), 7 * 5 * 3);
}

#[test]
fn a_view_is_written_as_in_a_document() {
    let view: View = serde_json::from_str(r#"{"size": [640, 360], "format": "gray8", "fps": 5}"#).unwrap();
    assert_eq!(view, View { size: Some((640, 360)), format: Format::Gray8, fps: Some(5.0) });
    assert_eq!(serde_json::from_str::<View>("{}").unwrap(), View::default());
    assert!(serde_json::from_str::<View>(r#"{"sise": 1}"#).is_err());
}
