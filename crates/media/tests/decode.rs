//! The decoder gives the pixels that FFmpeg gives, in order and with their times, and says what is damaged.

mod rig;

use md5::{Digest, Md5};
use media::AccessUnit;
use media::decode::{Decoder, Picture, default_decoder};
use rig::{ASTRONAUT, B_FRAMES, BUNNY, clip};

fn decode(decoder: &mut dyn Decoder, units: &[AccessUnit]) -> Vec<Picture> {
    let mut pictures = Vec::new();
    for unit in units {
        if unit.discontinuity {
            decoder.note_loss();
        }
        // A damaged unit gives no picture, which is what some tests are about.
        pictures.extend(decoder.decode(&unit.data, unit.pts_ns, unit.keyframe).unwrap_or_default());
    }
    pictures.extend(decoder.flush());
    pictures
}

fn checksum(pictures: &[Picture]) -> String {
    let mut md5 = Md5::new();
    for picture in pictures {
        let (w, h) = (picture.width as usize, picture.height as usize);
        for (plane, w, h) in [(&picture.y, w, h), (&picture.u, w / 2, h / 2), (&picture.v, w / 2, h / 2)] {
            for row in plane.bytes.chunks(plane.stride).take(h) {
                md5.update(&row[..w]);
            }
        }
    }
    md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checksums made with FFmpeg 5.1.6:
/// `ffmpeg -i CLIP -map 0:v -fps_mode passthrough -pix_fmt yuv420p -f rawvideo - | md5sum`
#[test]
fn pixels_are_those_of_ffmpeg() {
    let clips = [
        (ASTRONAUT, "7ea476fa40d4b4bb9212f6b4b400f90c"),
        (BUNNY, "057c217d990a09ddf9e6834ef7776052"),
        (B_FRAMES, "8fbf7a3e9eca780b2061eae3b36f63d4"),
    ];
    for (name, expected) in clips {
        let clip = clip(name);
        let pictures = decode(&mut *default_decoder(), clip.units());
        assert_eq!(pictures.len(), clip.units().len(), "{name}");
        assert!(pictures.iter().all(|picture| !picture.damaged), "{name}");
        assert!(pictures.is_sorted_by(|a, b| a.pts_ns < b.pts_ns), "{name}: in order of presentation");
        assert_eq!(checksum(&pictures), expected, "{name}");
    }
}

#[test]
fn a_picture_comes_at_once_where_there_are_no_b_frames() {
    let clip = clip(ASTRONAUT);
    let mut decoder = default_decoder();
    for unit in &clip.units()[..10] {
        let pictures = decoder.decode(&unit.data, unit.pts_ns, unit.keyframe).unwrap();
        assert_eq!(pictures.iter().map(|picture| picture.pts_ns).collect::<Vec<_>>(), [unit.pts_ns]);
    }
}

/// `true` in the result: the picture is damaged.
fn damage(pictures: &[Picture]) -> Vec<bool> {
    pictures.iter().map(|picture| picture.damaged).collect()
}

#[test]
fn what_follows_a_loss_is_marked_until_the_next_key_frame() {
    let clip = clip(ASTRONAUT);
    let mut units = clip.units()[..60].to_vec();
    units.remove(10);
    units[10].discontinuity = true;
    let pictures = decode(&mut *default_decoder(), &units);
    let exact = decode(&mut *default_decoder(), clip.units());
    for picture in &pictures {
        let original = exact.iter().find(|original| original.pts_ns == picture.pts_ns).unwrap();
        assert!(picture.damaged || picture == original, "a wrong picture at {} ns isn't marked", picture.pts_ns);
    }
    let key = clip.units()[30].pts_ns;
    let after: Vec<Picture> = pictures.into_iter().filter(|picture| picture.pts_ns >= key).collect();
    assert_eq!(damage(&after), [false; 30], "all is well from the key frame on");
}

#[test]
fn a_cut_unit_is_an_error_or_marked_and_the_next_key_frame_heals() {
    for name in [ASTRONAUT, B_FRAMES] {
        let clip = clip(name);
        let mut units = clip.units()[..50].to_vec();
        let cut = &units[10].data;
        let body = cut.len() / 2;
        let mut half = (body as u32 - 4).to_be_bytes().to_vec();
        half.extend_from_slice(&cut[4..body]);
        units[10].data = half.into();
        units[11].discontinuity = true;
        let pictures = decode(&mut *default_decoder(), &units);
        let exact = decode(&mut *default_decoder(), clip.units());
        let key = units[11..].iter().find(|unit| unit.keyframe).unwrap().pts_ns;
        let healed: Vec<&Picture> = pictures.iter().filter(|picture| picture.pts_ns >= key).collect();
        assert!(healed.len() >= 20, "{name}: {}", healed.len());
        for picture in healed {
            assert!(exact.contains(picture), "{name}: {} ns", picture.pts_ns);
        }
    }
}

#[test]
fn nothing_comes_before_the_first_key_frame() {
    let clip = clip(ASTRONAUT);
    let mut decoder = default_decoder();
    let pictures = decode(&mut *decoder, &clip.units()[1..31]);
    assert_eq!(pictures.len(), 1);
    assert!(pictures[0].keyframe && !pictures[0].damaged);
    decoder.reset();
    assert!(decode(&mut *decoder, &clip.units()[1..30]).is_empty());
}

#[test]
fn times_may_begin_anew_with_a_key_frame() {
    let clip = clip(B_FRAMES);
    let mut decoder = default_decoder();
    let once = decode(&mut *decoder, clip.units());
    let again = decode(&mut *decoder, clip.units());
    assert_eq!(checksum(&once), checksum(&again));
}

/// Interlaced video, which the faster engine lacks; made with
/// `ffmpeg -i testsrc_bframes_180p25.mp4 -vf scale=320:192 -frames:v 12 -c:v libx264 -flags +ildct+ilme -x264opts tff=1`.
#[test]
fn interlaced_video_falls_back_to_the_complete_decoder() {
    let clip = media::mp4::Clip::parse(include_bytes!("clips/interlaced_192.mp4")).unwrap();
    let pictures = decode(&mut *default_decoder(), clip.units());
    assert_eq!(pictures.len(), clip.units().len());
    assert_eq!(checksum(&pictures), "9a4971daed376927a7d7143871f2aace");
}
