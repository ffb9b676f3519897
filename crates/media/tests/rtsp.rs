//! Our client and our server, over real sockets.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

mod rig;

use std::time::Duration;

use media::AccessUnit;
use media::h264::ParameterSets;
use media::rtsp::client::{CameraError, Options, Session, Transport, connect};
use rig::{ASTRONAUT, B_FRAMES, LIMIT, beside_camera, camera, clip, password};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

fn options(transport: Transport) -> Options {
    Options { transport, connect_timeout: LIMIT, silence_timeout: LIMIT }
}

async fn take(session: &mut Session, count: usize) -> Vec<AccessUnit> {
    let mut units = Vec::new();
    while units.len() < count {
        units.push(session.next().await.unwrap());
    }
    units
}

/// What comes out of the client is what the clip holds, byte for byte, beginning with some key frame.
fn assert_is_the_clip(name: &str, units: &[AccessUnit]) {
    let clip = clip(name);
    let begins = |unit: &&AccessUnit| unit.data == units[0].data;
    let originals: Vec<AccessUnit> =
        clip.looped().map(|looped| looped.unit).skip_while(|unit| !begins(&unit)).take(units.len()).collect();
    let first_ns = originals[0].pts_ns;
    assert_eq!(units[0].pts_ns, 0);
    for (unit, original) in units.iter().zip(&originals) {
        assert_eq!(unit.data, original.data);
        assert_eq!(unit.keyframe, original.keyframe);
        assert_eq!(unit.keyframe, ParameterSets::in_access_unit(&unit.data).unwrap().is_some());
        // A tick of 90 kHz is 11111 ns.
        assert!((unit.pts_ns - (original.pts_ns - first_ns)).abs() <= 11_112, "{} {}", unit.pts_ns, original.pts_ns);
        assert!(!unit.discontinuity);
    }
}

fn check(name: &'static str, transport: Transport, login: &'static str) {
    let credentials = (!login.is_empty()).then(password);
    beside_camera(name, credentials, async |address| {
        let mut session = connect(&camera(address, login), options(transport)).await.unwrap();
        assert_eq!(session.parameter_sets().as_ref(), Some(clip(name).parameter_sets()));
        assert_is_the_clip(name, &take(&mut session, 45).await);
    });
}

#[test]
fn over_tcp() {
    check(ASTRONAUT, Transport::Tcp, "");
}

#[test]
fn over_tcp_with_b_frames_and_over_the_seam_of_the_loop() {
    beside_camera(B_FRAMES, None, async |address| {
        let mut session = connect(&camera(address, ""), options(Transport::Tcp)).await.unwrap();
        assert_is_the_clip(B_FRAMES, &take(&mut session, 75).await);
    });
}

#[test]
fn over_udp() {
    check(B_FRAMES, Transport::Udp, "");
}

#[test]
fn with_a_password() {
    check(B_FRAMES, Transport::Tcp, "admin:pass%3Aw%40rd@");
    check(B_FRAMES, Transport::Udp, "admin:pass%3Aw%40rd@");
}

#[test]
fn a_wrong_password_is_unauthorised() {
    beside_camera(B_FRAMES, Some(password()), async |address| {
        for login in ["", "admin:s3cret@", "other:pass%3Aw%40rd@"] {
            let error = connect(&camera(address, login), Options::default()).await.unwrap_err();
            assert!(matches!(error, CameraError::Unauthorised { .. }), "{login}: {error:?}");
            assert_eq!(error.state(), "unauthorised");
            assert!(!format!("{error} {error:?}").contains("s3cret"));
        }
    });
}

#[test]
fn a_wrong_path_is_not_found() {
    beside_camera(B_FRAMES, None, async |address| {
        let url = format!("rtsp://{address}/window").parse().unwrap();
        let error = connect(&url, Options::default()).await.unwrap_err();
        assert!(matches!(error, CameraError::NotFound { .. }), "{error:?}");
    });
}

#[test]
fn many_at_once_see_the_same() {
    beside_camera(B_FRAMES, None, async |address| {
        let watch = |transport| async move {
            let mut session = connect(&camera(address, ""), options(transport)).await.unwrap();
            assert_is_the_clip(B_FRAMES, &take(&mut session, 30).await);
        };
        let all = (0..12).map(|i| watch(if i % 3 == 0 { Transport::Udp } else { Transport::Tcp }));
        futures::future::join_all(all).await;
    });
}

#[test]
fn a_client_that_never_reads_delays_nobody() {
    beside_camera(ASTRONAUT, None, async |address| {
        let mut lazy = TcpStream::connect(address).await.unwrap();
        let setup = "SETUP rtsp://x/door/trackID=0 RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n\
                     PLAY rtsp://x/door RTSP/1.0\r\nCSeq: 2\r\n\r\n";
        lazy.write_all(setup.as_bytes()).await.unwrap();
        lazy.readable().await.unwrap();
        let mut session = connect(&camera(address, ""), options(Transport::Tcp)).await.unwrap();
        assert_is_the_clip(ASTRONAUT, &take(&mut session, 60).await);
    });
}

#[test]
fn hostile_requests_end_their_own_connection_only() {
    beside_camera(B_FRAMES, None, async |address| {
        let huge_header = format!("OPTIONS * RTSP/1.0\r\nX: {}", "x".repeat(1 << 20));
        let hostile: [&[u8]; 5] = [
            b"\0\xff\xfe nonsense\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"DESCRIBE rtsp://x/door RTSP/1.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"SETUP rtsp://x/door RTSP/1.0\r\nContent-Length: 4000000000\r\n\r\n",
            huge_header.as_bytes(),
        ];
        for bytes in hostile {
            let mut socket = TcpStream::connect(address).await.unwrap();
            // The server may close while this is still being written.
            let _ = socket.write_all(bytes).await;
            let _ = socket.shutdown().await;
            let mut answer = Vec::new();
            let _ = timeout(LIMIT, socket.read_to_end(&mut answer)).await.expect("the server keeps the connection");
        }
        let mut session = connect(&camera(address, ""), options(Transport::Tcp)).await.unwrap();
        take(&mut session, 5).await;
    });
}

fn run(test: impl Future) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(LIMIT, test).await.expect("the test took too long") });
}

#[test]
fn a_closed_port_is_refused() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = connect(&camera(address, "a:s3cret@"), Options::default()).await.unwrap_err();
        assert!(matches!(error, CameraError::Refused { .. }), "{error:?}");
        assert_eq!(error.state(), "refused");
    });
}

#[test]
fn a_host_without_a_name_is_unreachable() {
    run(async {
        let url = "rtsp://camera.invalid/door".parse().unwrap();
        let error = connect(&url, Options::default()).await.unwrap_err();
        assert!(matches!(error, CameraError::Unreachable { .. }), "{error:?}");
    });
}

#[test]
fn a_mute_camera_is_silent() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options { connect_timeout: Duration::from_millis(200), ..Options::default() };
        let error = connect(&camera(address, ""), options).await.unwrap_err();
        assert!(matches!(error, CameraError::Silent { .. }), "{error:?}");
        assert_eq!(error.state(), "silent");
    });
}

#[test]
fn a_camera_that_stops_sending_is_silent() {
    beside_camera(ASTRONAUT, None, async |address| {
        // 15 pictures a second come, but not within a millisecond of each other, once the start is through.
        let options = Options { silence_timeout: Duration::from_millis(1), ..options(Transport::Tcp) };
        let mut session = connect(&camera(address, ""), options).await.unwrap();
        let error = loop {
            if let Err(error) = session.next().await {
                break error;
            }
        };
        assert!(matches!(error, CameraError::Silent { .. }), "{error:?}");
    });
}

#[test]
fn h265_is_named() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let camera_side = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let _ = socket.read(&mut request).await.unwrap();
            let sdp = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                       a=rtpmap:96 H265/90000\r\na=control:track1\r\n";
            let head = format!(
                "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
                sdp.len()
            );
            socket.write_all(format!("{head}{sdp}").as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let url = camera(address, "");
        tokio::select! {
            () = camera_side => {}
            outcome = connect(&url, Options::default()) => {
                let error = outcome.unwrap_err();
                assert!(matches!(&error, CameraError::NotH264 { found, .. } if found == "H.265"), "{error:?}");
                assert_eq!(error.state(), "bad-stream");
            }
        }
    });
}
