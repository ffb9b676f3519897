use mp4_atom::{Atom, Avc1, Avcc, Buf, Codec, DecodeMaybe, FourCC, Header, Moov, Trak};

use super::ClipError;

/// The H.264 track of a file: its tables, and its configuration.
pub(super) struct VideoTrack {
    pub(super) trak: Trak,
    pub(super) avcc: Avcc,
}

/// Finds the first video track in the bytes of a whole file.
pub(super) fn video_track(file: &[u8]) -> Result<VideoTrack, ClipError> {
    let moov = movie(file)?;
    let fragmented = moov.mvex.is_some();
    let kinds: Vec<String> = moov.trak.iter().map(|trak| trak.mdia.hdlr.handler.to_string()).collect();
    let video = moov.trak.into_iter().find(|trak| trak.mdia.hdlr.handler == FourCC::new(b"vide"));
    let Some(trak) = video else {
        let found = if kinds.is_empty() { "no tracks".into() } else { kinds.join(", ") };
        return Err(ClipError::NoVideo { found });
    };
    let avcc = match trak.mdia.minf.stbl.stsd.codecs.first() {
        Some(Codec::Avc1(Avc1 { avcc, .. })) => avcc.clone(),
        Some(Codec::Avc3(avc3)) => avc3.avcc.clone(),
        Some(other) => return Err(ClipError::NotH264 { found: name(other) }),
        None => return Err(ClipError::NotH264 { found: "without a description".into() }),
    };
    if fragmented {
        return Err(ClipError::Fragmented);
    }
    Ok(VideoTrack { trak, avcc })
}

fn movie(file: &[u8]) -> Result<Moov, ClipError> {
    let mut rest = file;
    let mut first = true;
    loop {
        let header = Header::decode_maybe(&mut rest).map_err(damaged)?;
        let known = header.as_ref().is_some_and(|h| is_top_level(h.kind));
        if first && !known {
            return Err(ClipError::NotMp4 { begins: describe_start(file) });
        }
        first = false;
        let Some(header) = header else {
            return Err(ClipError::Damaged("it has no `moov` box, so its recording wasn't finished".into()));
        };
        let size = header.size.unwrap_or(rest.len());
        let Some(body) = rest.get(..size) else {
            let (kind, left) = (header.kind, rest.len());
            return Err(ClipError::Damaged(format!("its `{kind}` box claims {size} bytes, and {left} follow")));
        };
        if header.kind == Moov::KIND {
            return Moov::decode_body(&mut &*body).map_err(damaged);
        }
        rest.advance(size);
    }
}

fn damaged(error: mp4_atom::Error) -> ClipError {
    ClipError::Damaged(error.to_string())
}

/// The boxes that a file can begin with; anything else at the start is another format.
fn is_top_level(kind: FourCC) -> bool {
    let kinds = [b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"pnot", b"uuid", b"moof", b"sidx"];
    kinds.into_iter().any(|known| kind == FourCC::new(known))
}

/// In words for what people give by mistake, else in hexadecimal.
fn describe_start(file: &[u8]) -> String {
    let known: [(&[u8], &str); 10] = [
        (b"RIFF", "RIFF, so it may be an AVI file"),
        (b"\x1a\x45\xdf\xa3", "EBML, so it is a Matroska or WebM file"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"\x89PNG", "a PNG picture"),
        (b"GIF8", "a GIF picture"),
        (b"\0\0\0\x01", "a start code, so it may be raw H.264"),
        (b"\0\0\x01", "a start code, so it may be raw H.264 or MPEG"),
        (b"\x7fELF", "ELF, so it is a program"),
        (b"FLV", "FLV, so it is a Flash video"),
        (b"#!", "#!, so it is a script"),
    ];
    if let Some((_, name)) = known.iter().find(|(magic, _)| file.starts_with(magic)) {
        return (*name).into();
    }
    match file.get(..8).unwrap_or(file) {
        [] => "nothing: it is empty".into(),
        start if start.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n')) => {
            format!("the text {:?}", String::from_utf8_lossy(start))
        }
        start => format!("the bytes {start:02x?}"),
    }
}

fn name(codec: &Codec) -> String {
    match codec {
        Codec::Hev1(_) | Codec::Hvc1(_) => "H.265 (hevc)".into(),
        Codec::Av01(_) => "AV1".into(),
        Codec::Vp08(_) => "VP8".into(),
        Codec::Vp09(_) => "VP9".into(),
        Codec::Jpeg(_) => "Motion JPEG".into(),
        Codec::Uncv(_) => "uncompressed".into(),
        Codec::Unknown(kind, _) if *kind == FourCC::new(b"mp4v") => "MPEG-4 Part 2 (mp4v)".into(),
        Codec::Unknown(kind, _) => format!("`{kind}`"),
        _ => "in an unusual format".into(),
    }
}
