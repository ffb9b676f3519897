use h264_reader::nal::sps::{ChromaFormat, FrameMbsFlags, PicOrderCntType, SeqParameterSet};
use h264_reader::rbsp::{BitReader, ByteReader};

use super::H264Error;

/// `MaxFS` of level 6.2 (ITU-T H.264 table A-1), the largest of all levels: a decoder allocates by the size that the
/// stream states, so a few hostile bytes mustn't state more.
const MAX_MACROBLOCKS: u64 = 139_264;

/// What the rest of the crate wants to know of a sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) reorder_frames: Option<u32>,
    pub(super) full_range: bool,
    /// `matrix_coefficients`; 2 is "unspecified".
    pub(super) matrix: u8,
    /// `chroma_format_idc`, and the bits of a sample of luma and of chroma beyond eight.
    pub(super) chroma_format: u8,
    pub(super) luma_bits_beyond_8: u8,
    pub(super) chroma_bits_beyond_8: u8,
}

/// Parses the NAL unit `nal`, header byte included.
pub(super) fn parse(nal: &[u8]) -> Result<Sps, H264Error> {
    let bits = BitReader::new(ByteReader::skipping_h264_header(nal));
    let sps = SeqParameterSet::from_bits(bits).map_err(|error| H264Error::BadSps(format!("{error:?}")))?;
    let (width, height) = cropped_size(&sps)?;
    let signal = sps.vui_parameters.as_ref().and_then(|vui| vui.video_signal_type.as_ref());
    let colour = signal.and_then(|signal| signal.colour_description.as_ref());
    Ok(Sps {
        width,
        height,
        reorder_frames: reorder_frames(&sps),
        full_range: signal.is_some_and(|signal| signal.video_full_range_flag),
        matrix: colour.map_or(2, |colour| colour.matrix_coefficients),
        chroma_format: match sps.chroma_info.chroma_format {
            ChromaFormat::Monochrome => 0,
            ChromaFormat::YUV420 => 1,
            ChromaFormat::YUV422 => 2,
            ChromaFormat::YUV444 => 3,
            ChromaFormat::Invalid(_) => return Err(H264Error::BadSps("chroma_format_idc above 3".into())),
        },
        luma_bits_beyond_8: sps.chroma_info.bit_depth_luma_minus8,
        chroma_bits_beyond_8: sps.chroma_info.bit_depth_chroma_minus8,
    })
}

/// How many pictures may precede one in decoding order and follow it in output order, where the stream says so.
fn reorder_frames(sps: &SeqParameterSet) -> Option<u32> {
    // 66 is Baseline, which has no B slices; order count type 2 makes output order the decoding order.
    let never = u8::from(sps.profile_idc) == 66 || matches!(sps.pic_order_cnt, PicOrderCntType::TypeTwo);
    if never {
        return Some(0);
    }
    let restrictions = sps.vui_parameters.as_ref()?.bitstream_restrictions.as_ref()?;
    // 16 is the most that the standard allows.
    Some(restrictions.max_num_reorder_frames.min(16))
}

/// The library's own computation overflows on hostile values, hence this one in 64 bits.
fn cropped_size(sps: &SeqParameterSet) -> Result<(u32, u32), H264Error> {
    let fields = u64::from(matches!(sps.frame_mbs_flags, FrameMbsFlags::Fields { .. }));
    let columns = u64::from(sps.pic_width_in_mbs_minus1) + 1;
    let rows = (u64::from(sps.pic_height_in_map_units_minus1) + 1) * (1 + fields);
    let (width, height) = (columns * 16, rows * 16);
    if columns.checked_mul(rows).is_none_or(|macroblocks| macroblocks > MAX_MACROBLOCKS) {
        return Err(H264Error::TooLarge { width, height, limit: MAX_MACROBLOCKS });
    }
    let (unit_x, unit_y) = match sps.chroma_info.chroma_format {
        ChromaFormat::YUV420 => (2, 2 * (1 + fields)),
        ChromaFormat::YUV422 => (2, 1 + fields),
        _ => (1, 1 + fields),
    };
    let crop = sps.frame_cropping.as_ref();
    let crop_x = crop.map_or(0, |c| (u64::from(c.left_offset) + u64::from(c.right_offset)) * unit_x);
    let crop_y = crop.map_or(0, |c| (u64::from(c.top_offset) + u64::from(c.bottom_offset)) * unit_y);
    let left = |whole: u64, cropped: u64| whole.checked_sub(cropped).filter(|left| *left > 0);
    match (left(width, crop_x), left(height, crop_y)) {
        (Some(width), Some(height)) => Ok((width as u32, height as u32)),
        _ => Err(H264Error::BadSps("cropping leaves no pixel".into())),
    }
}
