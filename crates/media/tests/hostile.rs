//! Bytes from strangers: whatever they are, the answer is a value or an error. The oracle is that nothing panics, and
//! that it ends. The numbers are the same in each run, so a failure can be met again.

mod rig;

use media::AccessUnit;
use media::decode::default_decoder;
use media::fmp4::{Fragments, init_segment};
use media::h264::{ParameterSets, nal_units};
use media::mp4::Clip;
use media::view::{Format, Scaler, View};
use rig::{ASTRONAUT, B_FRAMES, clip, path};

/// xorshift64*: no crate needed for numbers without pattern.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        (0..self.below(longest)).map(|_| self.next() as u8).collect()
    }

    /// A few bytes changed, or some cut out, or some put in.
    fn mutate(&mut self, original: &[u8], first: usize) -> Vec<u8> {
        let mut bytes = original.to_vec();
        for _ in 0..1 + self.below(6) {
            let at = self.below(bytes.len().min(first));
            match self.below(4) {
                0 if !bytes.is_empty() => bytes[at] = self.next() as u8,
                1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..(at + self.below(16)).min(bytes.len()))),
                _ => drop(bytes.splice(at..at, self.bytes(8)).collect::<Vec<_>>()),
            }
        }
        bytes
    }
}

fn parse_everything(bytes: &[u8]) {
    for _ in nal_units(bytes) {}
    if let Ok(Some(parameters)) = ParameterSets::in_access_unit(bytes) {
        use_parameters(&parameters);
    }
}

fn use_parameters(parameters: &ParameterSets) {
    let _ = (parameters.codec(), parameters.avcc_record(), parameters.reorder_frames(), parameters.colour());
    if let Ok((width, height)) = parameters.size() {
        assert!(u64::from(width) * u64::from(height) <= 139_264 * 256);
    }
    let _ = init_segment(parameters);
    let _ = Fragments::new(parameters);
}

#[test]
fn units_and_parameter_sets() {
    let mut numbers = Numbers(1);
    let clips = [clip(ASTRONAUT), clip(B_FRAMES)];
    for round in 0..20_000 {
        let units = clips[round % 2].units();
        parse_everything(&numbers.bytes(64));
        let unit = &units[numbers.below(units.len())].data;
        parse_everything(&numbers.mutate(&unit[..unit.len().min(400)], 80));
        let known = clips[round % 2].parameter_sets();
        let (sps, pps) = (numbers.mutate(&known.sps, 80), numbers.mutate(&known.pps, 80));
        use_parameters(&ParameterSets { sps, pps });
        let (sps, pps) = (numbers.bytes(64), numbers.bytes(16));
        use_parameters(&ParameterSets { sps, pps });
    }
}

#[test]
fn files() {
    let mut numbers = Numbers(2);
    let file = std::fs::read(path(B_FRAMES)).unwrap();
    let tables = file.windows(4).position(|kind| kind == b"mdat").unwrap();
    for _ in 0..4_000 {
        let _ = Clip::parse(&numbers.bytes(256));
        let _ = Clip::parse(&file[..numbers.below(file.len())]);
        let mutated = numbers.mutate(&file, tables);
        if let Ok(clip) = Clip::parse(&mutated) {
            assert!(clip.units()[0].keyframe);
            let rounds = clip.looped().take(clip.units().len() * 2 + 1);
            assert!(rounds.is_sorted_by(|a, b| a.due_ns <= b.due_ns));
        }
    }
}

#[test]
fn fragments() {
    let mut numbers = Numbers(3);
    let clip = clip(B_FRAMES);
    let mut fragments = Fragments::new(clip.parameter_sets()).unwrap();
    for _ in 0..20_000 {
        let unit = &clip.units()[numbers.below(clip.units().len())];
        let data = if numbers.below(2) == 0 { unit.data.to_vec() } else { numbers.mutate(&unit.data, 200) };
        let pts_ns = match numbers.below(4) {
            0 => numbers.next() as i64,
            _ => unit.pts_ns + numbers.below(1 << 33) as i64,
        };
        let _ = fragments.push(&data, pts_ns, unit.keyframe);
        let _ = fragments.media_s(pts_ns);
    }
}

/// Also that the decoder is as good as new at the first undamaged key frame.
#[test]
fn pictures() {
    let mut numbers = Numbers(4);
    let clip = clip(B_FRAMES);
    let mut decoder = default_decoder();
    let mut scaler = Scaler::new(View { size: Some((64, 64)), format: Format::Rgb24, fps: None });
    let mut out = vec![0; 64 * 64 * 3];
    for _ in 0..40 {
        for AccessUnit { data, pts_ns, keyframe, .. } in clip.units() {
            let data = if numbers.below(3) == 0 { numbers.mutate(data, 400) } else { data.to_vec() };
            for picture in decoder.decode(&data, *pts_ns, *keyframe).unwrap_or_default() {
                let _ = scaler.render(&picture, &mut out);
            }
        }
    }
    decoder.flush();
    let mut good = 0;
    for unit in clip.units() {
        good += decoder.decode(&unit.data, unit.pts_ns, unit.keyframe).unwrap().iter().filter(|p| !p.damaged).count();
    }
    good += decoder.flush().len();
    assert_eq!(good, clip.units().len());
}

/// The errors of a person rather than of a stranger: each names what was found.
#[test]
fn files_of_other_kinds_are_named() {
    let said = |bytes: &[u8]| Clip::parse(bytes).unwrap_err().to_string();
    assert_eq!(said(b""), "not an MP4 file: begins with nothing: it is empty");
    assert!(said(b"RIFF1234AVI LIST").contains("AVI"));
    assert!(said(b"\x1a\x45\xdf\xa3aaaaaaaaaaaa").contains("Matroska"));
    assert!(said(b"[package]\nname = 1").contains("the text \"[package\""));
    assert!(said(&init_segment(clip(ASTRONAUT).parameter_sets()).unwrap()).contains("fragmented"));
    let file = std::fs::read(path(B_FRAMES)).unwrap();
    assert!(said(&file[..file.len() / 2]).contains("damaged"));
    // The first after the name of another box: both words occur elsewhere too.
    let swap = |after: &[u8; 4], from: &[u8; 4], to: &[u8; 4]| {
        let mut file = file.clone();
        let find = |word: &[u8; 4], start: usize| start + file[start..].windows(4).position(|w| w == word).unwrap();
        let at = find(from, find(after, 0));
        file[at..at + 4].copy_from_slice(to);
        said(&file)
    };
    assert!(swap(b"stsd", b"avc1", b"mp4v").contains("its video track is MPEG-4 Part 2"));
    assert!(swap(b"hdlr", b"vide", b"soun").contains("no video track in the MP4 file; it has: soun"));
    assert!(said(b"\0\0\0\x08moov").contains("damaged"));
}
