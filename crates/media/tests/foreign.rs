//! Other people's programs read what we write, and we read what they write.
//!
//! They need ffmpeg and gst-rtsp-server, so they are left out unless asked for: `cargo xtask test` installs both and
//! runs them.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod rig;

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use media::fmp4::{Fragments, init_segment};
use media::rtsp::client::{CameraError, Options, Transport, connect};
use rig::{ASTRONAUT, B_FRAMES, LIMIT, beside_camera, clip, password, path};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const MISSING: &str = "isn't installed; `cargo xtask test` installs it";

async fn run(program: &str, args: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} {MISSING}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that needs no input may be gone before it has all.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    tokio::time::timeout(LIMIT, child.wait_with_output()).await.expect("it ends in time").unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// FFmpeg decodes so many pictures of the camera, without an error.
async fn assert_ffmpeg_plays(address: SocketAddr, login: &str, transport: &str) {
    let url = format!("rtsp://{login}{address}/door");
    let args = ["-v", "warning", "-rtsp_transport", transport, "-i", &url, "-frames:v", "40", "-f", "framemd5", "-"];
    let output = run("ffmpeg", &args, b"").await;
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{transport}: {err}");
    assert_eq!(out.lines().filter(|line| line.starts_with("0,")).count(), 40, "{transport}: {out}{err}");
    for word in ["error", "missed", "corrupt", "Non-monotonous"] {
        assert!(!err.contains(word), "{transport}: {err}");
    }
}

#[test]
#[ignore = "needs ffmpeg; cargo xtask test runs it"]
fn ffmpeg_plays_our_camera() {
    for clip in [ASTRONAUT, B_FRAMES] {
        beside_camera(clip, None, async |address| {
            assert_ffmpeg_plays(address, "", "tcp").await;
            assert_ffmpeg_plays(address, "", "udp").await;
        });
    }
}

#[test]
#[ignore = "needs ffmpeg; cargo xtask test runs it"]
fn ffmpeg_plays_our_camera_with_its_password_only() {
    beside_camera(B_FRAMES, Some(password()), async |address| {
        assert_ffmpeg_plays(address, "admin:pass%3Aw%40rd@", "tcp").await;
        assert_ffmpeg_plays(address, "admin:pass%3Aw%40rd@", "udp").await;
        for login in ["", "admin:wrong@"] {
            let output = run("ffprobe", &[&format!("rtsp://{login}{address}/door")], b"").await;
            assert!(!output.status.success());
            assert!(text(&output.stderr).contains("401 Unauthorized"), "{}", text(&output.stderr));
        }
    });
}

#[test]
#[ignore = "needs ffmpeg; cargo xtask test runs it"]
fn ffprobe_knows_our_camera() {
    beside_camera(ASTRONAUT, None, async |address| {
        let entries = "stream=codec_name,profile,width,height";
        let url = format!("rtsp://{address}/door");
        let args = ["-v", "error", "-rtsp_transport", "tcp", "-show_entries", entries, "-of", "csv=p=0", &url];
        let output = run("ffprobe", &args, b"").await;
        assert_eq!(text(&output.stdout).trim(), "h264,Main,960,540", "{}", text(&output.stderr));
    });
}

#[test]
#[ignore = "needs ffmpeg; cargo xtask test runs it"]
fn ffmpeg_decodes_our_live_stream_to_the_same_pictures() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in [ASTRONAUT, B_FRAMES] {
        let clip = clip(name);
        let mut stream = init_segment(clip.parameter_sets()).unwrap();
        let mut fragments = Fragments::new(clip.parameter_sets()).unwrap();
        for unit in clip.units() {
            stream.extend(fragments.push(&unit.data, unit.pts_ns, unit.keyframe).unwrap().bytes);
        }
        let md5 = ["-fps_mode", "passthrough", "-map", "0:v", "-f", "md5", "-"];
        let file = path(name).display().to_string();
        let (ours, original) = runtime.block_on(async {
            let ours = run("ffmpeg", &[&["-v", "warning", "-i", "-"], &md5[..]].concat(), &stream).await;
            (ours, run("ffmpeg", &[&["-v", "warning", "-i", &file], &md5[..]].concat(), b"").await)
        });
        assert_eq!(text(&ours.stderr), "", "{name}: not a word of complaint");
        assert_eq!(text(&ours.stdout), text(&original.stdout), "{name}");
    }
}

/// The server and the port that it chose.
async fn gst_server(clip: &str, login: &[&str]) -> (Child, SocketAddr) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gst_server.py");
    // The system's own Python: GStreamer's bindings are installed for no other.
    let mut command = Command::new("/usr/bin/python3");
    command.arg(script).arg(path(clip).canonicalize().unwrap()).args(login);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("python3 {MISSING}: {error}"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("it starts in time").unwrap();
    let port = line.unwrap_or_else(|| panic!("gst-rtsp-server {MISSING}")).parse().unwrap();
    (child, SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
#[ignore = "needs gst-rtsp-server; cargo xtask test runs it"]
fn we_play_a_camera_of_gstreamer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for transport in [Transport::Tcp, Transport::Udp] {
            let clip = clip(B_FRAMES);
            let (_server, address) = gst_server(B_FRAMES, &[]).await;
            let options = Options { transport, connect_timeout: LIMIT, silence_timeout: LIMIT };
            let mut session = connect(&rig::camera(address, ""), options).await.unwrap();
            assert_eq!(session.parameter_sets().unwrap().size().unwrap(), (320, 180));
            let mut decoder = media::decode::default_decoder();
            let mut pictures = Vec::new();
            for number in 0..40 {
                let unit = session.next().await.unwrap();
                assert_eq!(unit.keyframe, number == 0 || number == 25, "{number}");
                // This server dates by order of presentation, as it should, so times match the clip's.
                let expected_ns = clip.units()[number].pts_ns - clip.units()[0].pts_ns;
                assert!((unit.pts_ns - expected_ns).abs() <= 11_112, "{number}: {} {expected_ns}", unit.pts_ns);
                pictures.extend(decoder.decode(&unit.data, unit.pts_ns, unit.keyframe).unwrap());
            }
            assert!(pictures.len() >= 37 && pictures.iter().all(|picture| !picture.damaged));
        }
    });
}

#[test]
#[ignore = "needs gst-rtsp-server; cargo xtask test runs it"]
fn a_camera_of_gstreamer_asks_for_its_password() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_server, address) = gst_server(B_FRAMES, &["admin", "secret"]).await;
        let wrong = connect(&rig::camera(address, "admin:wrong@"), Options::default()).await;
        assert!(matches!(wrong, Err(CameraError::Unauthorised { .. })), "{wrong:?}");
        let mut session = connect(&rig::camera(address, "admin:secret@"), Options::default()).await.unwrap();
        assert!(session.next().await.unwrap().keyframe);
    });
}
