//! The live stream is well-formed, by the measure of a parser, and its times are those of the source.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod rig;

use media::fmp4::{Fragments, Mp4Error, TIMESCALE, init_segment};
use media::h264::{ParameterSets, nal_units};
use mp4_atom::{Any, Codec, DecodeMaybe, Mdat, Moof, Moov};
use rig::{ASTRONAUT, B_FRAMES, BUNNY, clip};

fn boxes(mut bytes: &[u8]) -> Vec<Any> {
    let mut boxes = Vec::new();
    while !bytes.is_empty() {
        boxes.push(Any::decode_maybe(&mut bytes).unwrap().expect("a whole box"));
    }
    boxes
}

#[test]
fn the_initialisation_segment_says_what_is_to_come() {
    let clip = clip(BUNNY);
    let parameters = clip.parameter_sets();
    let boxes = boxes(&init_segment(parameters).unwrap());
    let [Any::Ftyp(_), Any::Moov(Moov { mvex: Some(mvex), trak, .. })] = &boxes[..] else { panic!("{boxes:?}") };
    assert_eq!((trak.len(), mvex.trex.len()), (1, 1));
    let mdia = &trak[0].mdia;
    assert_eq!(mdia.mdhd.timescale, TIMESCALE);
    let Codec::Avc1(avc1) = &mdia.minf.stbl.stsd.codecs[0] else { panic!("{mdia:?}") };
    assert_eq!((avc1.visual.width, avc1.visual.height, avc1.visual.data_reference_index), (1280, 720, 1));
    assert_eq!(avc1.avcc.sequence_parameter_sets, std::slice::from_ref(&parameters.sps));
    assert_eq!(avc1.avcc.picture_parameter_sets, std::slice::from_ref(&parameters.pps));
    assert_eq!(parameters.codec(), format!("avc1.4d{:02x}1f", parameters.sps[2]));
}

#[test]
fn decoding_times_rise_and_pictures_are_shown_when_they_should() {
    for name in [ASTRONAUT, BUNNY, B_FRAMES] {
        let clip = clip(name);
        let mut fragments = Fragments::new(clip.parameter_sets()).unwrap();
        let mut last_dts = None;
        let mut delay_s = None;
        for (number, unit) in clip.looped().map(|looped| looped.unit).take(250).enumerate() {
            let fragment = fragments.push(&unit.data, unit.pts_ns, unit.keyframe).unwrap();
            let boxes = boxes(&fragment.bytes);
            let [Any::Moof(Moof { mfhd, traf }), Any::Mdat(Mdat { data })] = &boxes[..] else { panic!("{boxes:?}") };
            assert_eq!(mfhd.sequence_number, number as u32 + 1);
            let dts = traf[0].tfdt.as_ref().unwrap().base_media_decode_time;
            assert!(last_dts.is_none_or(|last| dts > last), "{name} {number}: {dts} after {last_dts:?}");
            last_dts = Some(dts);
            let sample = traf[0].trun[0].samples.iter().next().unwrap();
            let offset = sample.cts.unwrap();
            assert!(offset >= 0, "{name} {number}: decoded {offset} after it is shown");
            let shown_s = (dts as i64 + offset) as f64 / f64::from(TIMESCALE);
            assert!((shown_s - fragment.media_s).abs() < 1e-9, "{name} {number}: {shown_s} {}", fragment.media_s);
            assert_eq!(fragments.media_s(unit.pts_ns), fragment.media_s);
            let delay_s = *delay_s.get_or_insert(fragment.media_s);
            assert!((shown_s - delay_s - unit.pts_ns as f64 / 1e9).abs() < 1e-5);
            // The sample begins where the run says, and has neither parameter sets nor delimiters.
            let start = traf[0].trun[0].data_offset.unwrap() as usize;
            assert_eq!(&fragment.bytes[start..], &data[..]);
            assert_eq!(sample.size, Some(data.len() as u32));
            // What `docs/design/live-mp4.md` says that the boxes cost.
            assert_eq!(fragment.bytes.len() - data.len(), 112);
            assert!(nal_units(data).all(|nal| !matches!(nal.unwrap()[0] & 31, 7..=9)));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_harms_nothing() {
    let (clip, other) = (clip(ASTRONAUT), clip(BUNNY));
    let mut fragments = Fragments::new(clip.parameter_sets()).unwrap();
    let (key, next, stranger) = (&clip.units()[0], &clip.units()[1], &other.units()[0]);
    assert!(matches!(fragments.push(&next.data, 0, false), Err(Mp4Error::NotKeyFrame)));
    let first = fragments.push(&key.data, 1_000_000_000, true).unwrap();
    assert_eq!(first.media_s, 0.0);
    assert!(matches!(fragments.push(&stranger.data, 0, true), Err(Mp4Error::ParametersChanged)));
    assert!(matches!(fragments.push(&next.data, 0, false), Err(Mp4Error::OffAxis { .. })));
    assert!(matches!(fragments.push(&[], 0, false), Err(Mp4Error::Empty)));
    assert!(matches!(fragments.push(&[0, 0, 0, 9, 1], 0, false), Err(Mp4Error::H264(_))));
    assert_eq!(fragments.push(&next.data, 1_500_000_000, false).unwrap().media_s, 0.5);
    let nonsense = ParameterSets { sps: vec![0x67, 1], pps: vec![0x68] };
    assert!(init_segment(&nonsense).is_err() && Fragments::new(&nonsense).is_err());
}
