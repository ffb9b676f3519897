use mp4_atom::{
    Atom, Avc1, Avcc, Codec, Dinf, Dref, DrefEntry, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd,
    Stbl, Stco, Stsd, Tkhd, Trak, Trex, Url, Visual, Vmhd,
};

use super::{Mp4Error, TIMESCALE};
use crate::h264::{H264Error, ParameterSets};

/// The number of the only track.
pub(super) const TRACK: u32 = 1;

/// The initialisation segment (`ftyp` and `moov`) for a stream with these parameter sets; its MIME type is
/// `video/mp4; codecs="…"` with [`ParameterSets::codec`].
///
/// # Errors
///
/// When the sequence parameter set is malformed.
pub fn init_segment(parameters: &ParameterSets) -> Result<Vec<u8>, Mp4Error> {
    let mut out = Vec::new();
    ftyp().encode(&mut out).map_err(Mp4Error::Box)?;
    moov(parameters)?.encode(&mut out).map_err(Mp4Error::Box)?;
    Ok(out)
}

fn ftyp() -> Ftyp {
    let brands = [b"iso5", b"iso6", b"mp41", b"avc1"];
    Ftyp { major_brand: FourCC::new(b"iso5"), minor_version: 0, compatible_brands: brands.map(FourCC::new).to_vec() }
}

fn moov(parameters: &ParameterSets) -> Result<Moov, Mp4Error> {
    let (width, height) = parameters.size()?;
    // `size` accepts no side of more than 139264 macroblocks; the boxes have 16 bits for pixels.
    let too_wide = |_| H264Error::BadSps(format!("{width}x{height} pixels don't fit an MP4 track"));
    let (width, height) = (u16::try_from(width).map_err(too_wide)?, u16::try_from(height).map_err(too_wide)?);
    let mvhd =
        Mvhd { timescale: TIMESCALE, rate: 1.into(), volume: 1.into(), next_track_id: TRACK + 1, ..Mvhd::default() };
    let tkhd = Tkhd {
        track_id: TRACK,
        enabled: true,
        in_movie: true,
        width: width.into(),
        height: height.into(),
        ..Tkhd::default()
    };
    let mdhd = Mdhd { timescale: TIMESCALE, language: "und".into(), ..Mdhd::default() };
    let hdlr = Hdlr { handler: FourCC::new(b"vide"), name: "Framewire".into() };
    // Chromium refuses a sample entry whose data reference is missing; an empty location means "this file".
    let dref = Dref { entries: vec![DrefEntry::Url(Url { location: String::new() })] };
    let minf = Minf {
        vmhd: Some(Vmhd::default()),
        dinf: Dinf { dref },
        stbl: Stbl {
            stsd: Stsd { codecs: vec![Codec::Avc1(sample_entry(parameters, width, height)?)] },
            stco: Some(Stco::default()),
            ..Stbl::default()
        },
        ..Minf::default()
    };
    let trak = Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() };
    let trex = Trex { track_id: TRACK, default_sample_description_index: 1, ..Trex::default() };
    Ok(Moov { mvhd, mvex: Some(Mvex { mehd: None, trex: vec![trex] }), trak: vec![trak], ..Moov::default() })
}

fn sample_entry(parameters: &ParameterSets, width: u16, height: u16) -> Result<Avc1, Mp4Error> {
    let record = parameters.avcc_record();
    Ok(Avc1 {
        visual: Visual { data_reference_index: 1, width, height, ..Visual::default() },
        avcc: Avcc::decode_body(&mut &*record).map_err(Mp4Error::Box)?,
        ..Avc1::default()
    })
}
