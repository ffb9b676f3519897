//! How a frame's bytes are an array: read from its `Info`, and written into it.

use std::ffi::CString;

use pyo3::{exceptions::PyValueError, prelude::*};
use shm::ring::Info;

/// `Info::kind` of pictures, as the blocks have it.
const PICTURE: u32 = 2;
/// `Info::kind` of arrays that aren't pictures: "PY" and a version. What they are stands in `Info::user`.
const ARRAY: u32 = 0x5059_0001;

/// Pixel formats, as `Info::format` has them.
const FORMATS: [&str; 4] = ["gray8", "rgb24", "bgr24", "i420"];

/// In `user`: the number of dimensions, the format of an item (up to 6 bytes) ended by 0, the dimensions from byte 8.
const DIMENSIONS_AT: usize = 8;
const MAX_DIMENSIONS: usize = 7;

/// An array in a frame's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub offset: usize,
    pub shape: Box<[isize]>,
    pub strides: Box<[isize]>,
    /// As in the module `struct`.
    pub item: CString,
    pub item_bytes: usize,
}

impl Layout {
    /// The array that a frame of `length` bytes is. What its writer says of it is checked; if it can't be, it is bytes.
    pub(super) fn of(info: &Info, length: usize) -> Self {
        let told = match info.kind {
            PICTURE => Self::picture(info, length),
            ARRAY => Self::array(info, length),
            _ => None,
        };
        told.unwrap_or_else(|| Self::bytes(0, length))
    }

    fn bytes(offset: usize, length: usize) -> Self {
        Self::contiguous(offset, &[length], c"B".into(), 1)
    }

    fn contiguous(offset: usize, shape: &[usize], item: CString, item_bytes: usize) -> Self {
        // Whoever made the shape has seen that it lies inside a mapping, so nothing overflows.
        let mut stride = item_bytes as isize;
        let mut strides: Vec<isize> = Vec::with_capacity(shape.len());
        for length in shape.iter().rev() {
            strides.push(stride);
            stride = stride.saturating_mul((*length).max(1) as isize);
        }
        strides.reverse();
        let shape = shape.iter().map(|length| *length as isize).collect();
        Self { offset, shape, strides: strides.into(), item, item_bytes }
    }

    fn plane(info: &Info, plane: usize, rows: usize, columns: usize, samples: usize, length: usize) -> Option<Self> {
        let (offset, stride) = (info.offsets[plane] as usize, info.strides[plane] as usize);
        let row = columns.checked_mul(samples)?;
        let end = stride.checked_mul(rows.checked_sub(1)?)?.checked_add(row)?.checked_add(offset)?;
        if stride < row || end > length || row == 0 {
            return None;
        }
        let (shape, strides): (Vec<_>, Vec<_>) = match samples {
            1 => (vec![rows, columns], vec![stride, 1]),
            _ => (vec![rows, columns, samples], vec![stride, samples, 1]),
        };
        let signed = |values: Vec<usize>| values.into_iter().map(|value| value as isize).collect();
        Some(Self { offset, shape: signed(shape), strides: signed(strides), item: c"B".into(), item_bytes: 1 })
    }

    fn picture(info: &Info, length: usize) -> Option<Self> {
        let (width, height) = (info.width as usize, info.height as usize);
        match format_name(info)? {
            "gray8" => Self::plane(info, 0, height, width, 1, length),
            "i420" => Self::i420(info, length),
            _ => Self::plane(info, 0, height, width, 3, length),
        }
    }

    /// As OpenCV has it, one plane below the other, if they lie so; else bytes, and [`planes`](Self::planes).
    fn i420(info: &Info, length: usize) -> Option<Self> {
        let (width, height) = (info.width, info.height);
        let together = width % 2 == 0
            && height % 2 == 0
            && info.strides[..3] == [width, width / 2, width / 2]
            && info.offsets[..3] == [0, width * height, width * height + width * height / 4];
        if !together {
            return None;
        }
        Self::plane(info, 0, height as usize / 2 * 3, width as usize, 1, length)
    }

    /// The planes of a picture: one, or three for i420. None for what isn't a picture.
    pub(super) fn planes(info: &Info, length: usize) -> Vec<Self> {
        let (width, height) = (info.width as usize, info.height as usize);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let planes = match (info.kind, format_name(info)) {
            (PICTURE, Some("i420")) => vec![
                Self::plane(info, 0, height, width, 1, length),
                Self::plane(info, 1, half_height, half_width, 1, length),
                Self::plane(info, 2, half_height, half_width, 1, length),
            ],
            (PICTURE, Some(_)) => vec![Self::picture(info, length)],
            _ => Vec::new(),
        };
        planes.into_iter().collect::<Option<_>>().unwrap_or_default()
    }

    fn array(info: &Info, length: usize) -> Option<Self> {
        let (head, dimensions) = info.user.split_at(DIMENSIONS_AT);
        let count = usize::from(head[0]).min(MAX_DIMENSIONS);
        let end = head[1..].iter().position(|byte| *byte == 0)?;
        let item = CString::new(&head[1..=end]).ok()?;
        let item_bytes = item_bytes(item.to_str().ok()?)?;
        let shape: Vec<usize> = dimensions.as_chunks::<8>().0[..count]
            .iter()
            .map(|bytes| usize::try_from(u64::from_le_bytes(*bytes)).ok())
            .collect::<Option<_>>()?;
        let items = shape.iter().try_fold(1usize, |all, length| all.checked_mul(*length))?;
        (items.checked_mul(item_bytes)? == length).then(|| Self::contiguous(0, &shape, item, item_bytes))
    }

    pub(super) fn length(&self) -> isize {
        self.shape.iter().product::<isize>().saturating_mul(self.item_bytes as isize)
    }

    pub(super) fn is_contiguous(&self) -> bool {
        let mut stride = self.item_bytes as isize;
        self.shape.iter().zip(&self.strides).rev().all(|(length, own)| {
            let fits = *own == stride || *length == 1;
            stride = stride.saturating_mul(*length);
            fits
        })
    }
}

/// The pixel format's name, of a picture.
pub(super) fn format_name(info: &Info) -> Option<&'static str> {
    let index = (info.format as usize).checked_sub(1).filter(|_| info.kind == PICTURE)?;
    FORMATS.get(index).copied()
}

/// Says in an `Info` what a writer's array is. `format`: a picture, of which the array has the shape.
pub(super) fn describe(info: &mut Info, shape: &[usize], item: &str, format: Option<&str>) -> PyResult<()> {
    let Some(format) = format else { return describe_array(info, shape, item) };
    let number = FORMATS.iter().position(|known| *known == format).ok_or_else(|| {
        PyValueError::new_err(format!("could not write a frame as {format:?}: the formats are {}", FORMATS.join(", ")))
    })?;
    let small = |value: &usize| u32::try_from(*value).ok();
    let size = match (format, shape) {
        ("gray8", [height, width]) | ("rgb24" | "bgr24", [height, width, 3]) => small(height).zip(small(width)),
        ("i420", [rows, width]) if rows % 3 == 0 && width % 2 == 0 && (rows / 3 * 2) % 2 == 0 => {
            small(&(rows / 3 * 2)).zip(small(width))
        }
        _ => None,
    };
    let size = size.filter(|(height, width)| item == "B" && u64::from(*height) * u64::from(*width) < 1 << 30);
    let Some((height, width)) = size else {
        return Err(PyValueError::new_err(format!(
            "could not write an array of shape {shape:?} and item format {item:?} as {format}: it is of uint8, of shape \
             (height, width) for gray8, (height, width, 3) for rgb24 and bgr24, (height * 3 / 2, width) with both even for i420"
        )));
    };
    let samples = if matches!(format, "rgb24" | "bgr24") { 3 } else { 1 };
    (info.kind, info.format, info.width, info.height) = (PICTURE, number as u32 + 1, width, height);
    info.strides[0] = width * samples;
    if format == "i420" {
        info.strides = [width, width / 2, width / 2, 0];
        info.offsets = [0, width * height, width * height + width * height / 4, 0];
    }
    Ok(())
}

fn describe_array(info: &mut Info, shape: &[usize], item: &str) -> PyResult<()> {
    if shape.len() > MAX_DIMENSIONS || item_bytes(item).is_none() {
        return Err(PyValueError::new_err(format!(
            "could not write an array of {} dimensions with items of format {item:?}: {MAX_DIMENSIONS} dimensions are the most, \
             and items are bool, integers, floats or complex numbers in this machine's byte order",
            shape.len()
        )));
    }
    info.kind = ARRAY;
    let (head, dimensions) = info.user.split_at_mut(DIMENSIONS_AT);
    head.fill(0);
    head[0] = shape.len() as u8;
    head[1..=item.len()].copy_from_slice(item.as_bytes());
    for (bytes, length) in dimensions.as_chunks_mut::<8>().0.iter_mut().zip(shape) {
        *bytes = (*length as u64).to_le_bytes();
    }
    Ok(())
}

/// How large an item of a format is; `None` for what isn't supported.
pub(super) fn item_bytes(item: &str) -> Option<usize> {
    Some(match item {
        "?" | "b" | "B" => 1,
        "h" | "H" | "e" => 2,
        "i" | "I" | "f" => 4,
        "l" | "L" | "q" | "Q" | "d" | "Zf" => 8,
        "Zd" => 16,
        _ => return None,
    })
}
