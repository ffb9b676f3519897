use super::H264Error;

/// `nal_unit_type` of a slice of an IDR picture.
pub(crate) const IDR: u8 = 5;
/// `nal_unit_type` of a sequence parameter set.
pub(crate) const SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub(crate) const PPS: u8 = 8;
/// `nal_unit_type` of an access unit delimiter.
pub(crate) const AUD: u8 = 9;

/// The bytes of a length prefix.
const PREFIX: usize = 4;

/// The NAL units of an access unit whose units are preceded by four-byte lengths, without those lengths.
///
/// The bytes may come from anywhere: after the first error the iterator ends.
///
/// ```
/// let unit = [0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 9, 0x68];
/// let mut nals = media::h264::nal_units(&unit);
/// assert_eq!(nals.next(), Some(Ok(&[0x67, 0x42][..])));
/// assert!(nals.next().is_some_and(|nal| nal.is_err()), "nine bytes are promised and one is there");
/// assert_eq!(nals.next(), None);
/// ```
pub fn nal_units(avcc: &[u8]) -> NalUnits<'_> {
    NalUnits { avcc, offset: 0 }
}

/// The iterator that [`nal_units`] returns.
#[derive(Debug, Clone)]
pub struct NalUnits<'a> {
    avcc: &'a [u8],
    offset: usize,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], H264Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.avcc.get(offset..).filter(|rest| !rest.is_empty())?;
        let item = split_nal(rest, offset);
        self.offset = match item {
            Ok(nal) => offset + PREFIX + nal.len(),
            Err(_) => self.avcc.len(),
        };
        Some(item)
    }
}

fn split_nal(rest: &[u8], offset: usize) -> Result<&[u8], H264Error> {
    let Some((prefix, body)) = rest.split_first_chunk::<PREFIX>() else {
        return Err(H264Error::Truncated { offset, claimed: PREFIX, left: rest.len() });
    };
    let claimed = u32::from_be_bytes(*prefix) as usize;
    match body.get(..claimed) {
        Some([]) => Err(H264Error::EmptyNal { offset }),
        Some(nal) => Ok(nal),
        None => Err(H264Error::Truncated { offset, claimed, left: body.len() }),
    }
}

/// `nal_unit_type`; 0, which is "unspecified", for no bytes.
pub(crate) fn kind(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1f)
}

/// Appends `nal` with its length. Lengths of 4 GiB and more don't occur: the bytes came out of one such unit.
pub(crate) fn push_nal(out: &mut Vec<u8>, nal: &[u8]) {
    let length = u32::try_from(nal.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(nal);
}
