use super::{H264Error, PPS, SPS, kind, nal_units, sps};

/// The parameter sets of a stream: what a decoder must know before the first picture.
///
/// Two streams with equal parameter sets can be decoded, and played in a browser, by one decoder in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterSets {
    /// The sequence parameter set: one NAL unit, without length or start code.
    pub sps: Vec<u8>,
    /// The picture parameter set, likewise.
    pub pps: Vec<u8>,
}

/// How to turn the picture's luma and chroma into red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// Whether samples use 0..=255, rather than 16..=235 for luma and 16..=240 for chroma.
    pub full_range: bool,
    /// The weights of the primaries.
    pub matrix: Matrix,
}

/// The weights of the primaries in luma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// ITU-R BT.601, of standard definition.
    Bt601,
    /// ITU-R BT.709, of high definition.
    Bt709,
    /// ITU-R BT.2020.
    Bt2020,
}

impl ParameterSets {
    /// The first sequence and the first picture parameter set in an access unit, or `None` unless it has both.
    ///
    /// # Errors
    ///
    /// When the lengths in `avcc` don't add up; the parameter sets themselves aren't parsed.
    pub fn in_access_unit(avcc: &[u8]) -> Result<Option<Self>, H264Error> {
        let (mut sps, mut pps) = (None, None);
        for nal in nal_units(avcc) {
            let nal = nal?;
            match kind(nal) {
                SPS => _ = sps.get_or_insert(nal),
                PPS => _ = pps.get_or_insert(nal),
                _ => {}
            }
        }
        Ok(sps.zip(pps).map(|(sps, pps)| Self { sps: sps.to_vec(), pps: pps.to_vec() }))
    }

    /// The codec as RFC 6381 writes it for a MIME type: `avc1.4d401f`.
    pub fn codec(&self) -> String {
        let byte = |i| self.sps.get(i).copied().unwrap_or(0);
        format!("avc1.{:02x}{:02x}{:02x}", byte(1), byte(2), byte(3))
    }

    /// Width and height of the picture in pixels, after cropping.
    ///
    /// # Errors
    ///
    /// When the sequence parameter set is malformed, or larger than any level of H.264 allows.
    pub fn size(&self) -> Result<(u32, u32), H264Error> {
        sps::parse(&self.sps).map(|sps| (sps.width, sps.height))
    }

    /// By how many pictures the order of decoding can run ahead of the order of presentation: 0 without B-frames, `None`
    /// if the stream doesn't say (most cameras, which have no B-frames).
    ///
    /// # Errors
    ///
    /// When the sequence parameter set is malformed, or larger than any level of H.264 allows.
    pub fn reorder_frames(&self) -> Result<Option<u32>, H264Error> {
        sps::parse(&self.sps).map(|sps| sps.reorder_frames)
    }

    /// How to turn the stream's pictures into RGB. A stream that doesn't say is taken for BT.709 from 720 lines up
    /// and for BT.601 below, as players do.
    ///
    /// # Errors
    ///
    /// When the sequence parameter set is malformed, or larger than any level of H.264 allows.
    pub fn colour(&self) -> Result<Colour, H264Error> {
        let sps = sps::parse(&self.sps)?;
        // The numbers are of ITU-T H.273, table 4.
        let matrix = match sps.matrix {
            1 => Matrix::Bt709,
            5 | 6 => Matrix::Bt601,
            9 | 10 => Matrix::Bt2020,
            _ if sps.height >= 720 => Matrix::Bt709,
            _ => Matrix::Bt601,
        };
        Ok(Colour { full_range: sps.full_range, matrix })
    }

    /// The `AVCDecoderConfigurationRecord` of ISO/IEC 14496-15, as an `avcC` box and WebCodecs' `description` hold it.
    pub fn avcc_record(&self) -> Vec<u8> {
        let byte = |i| self.sps.get(i).copied().unwrap_or(0);
        // 0xff: lengths of four bytes; 0xe1: one sequence parameter set.
        let mut record = vec![1, byte(1), byte(2), byte(3), 0xff, 0xe1];
        push_short(&mut record, &self.sps);
        record.push(1);
        push_short(&mut record, &self.pps);
        let has_extension = matches!(byte(1), 100 | 110 | 122 | 144);
        if let Some(sps) = sps::parse(&self.sps).ok().filter(|_| has_extension) {
            let bits = [0xfc | sps.chroma_format, 0xf8 | sps.luma_bits_beyond_8, 0xf8 | sps.chroma_bits_beyond_8, 0];
            record.extend_from_slice(&bits);
        }
        record
    }
}

/// Appends a parameter set with a length of two bytes. A longer one isn't a parameter set, and is cut.
fn push_short(record: &mut Vec<u8>, nal: &[u8]) {
    let length = u16::try_from(nal.len()).unwrap_or(u16::MAX);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&nal[..usize::from(length)]);
}
