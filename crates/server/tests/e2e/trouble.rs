//! What is wrong is said, once, to whom it concerns, and the others go on.

use std::net::TcpListener;

use rustix::process::Signal;

use super::program::{Program, clip, command};

#[test]
fn a_taken_port_is_named_and_so_is_the_flag() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = command(&["--listen", &format!("127.0.0.1:{port}")]).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(said.contains(&port.to_string()) && said.contains("--listen"), "{said}");
}

#[test]
fn an_address_that_is_none_is_refused_at_once() {
    let said = |source: &str| {
        let ended = command(&["run", "a.mp4", source]).output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        String::from_utf8(ended.stderr).unwrap()
    };
    let gopher = said("gopher://user:geheim@host/");
    assert!(gopher.contains("source 2 of 2: `gopher:`") && !gopher.contains("geheim"), "{gopher}");
    let forgotten = said("user:geheim@host/stream");
    assert!(forgotten.contains("rtsp://user:password@host") && !forgotten.contains("geheim"), "{forgotten}");
}

#[test]
fn each_camera_says_what_is_wrong_with_it_and_the_others_go_on() {
    let rtsp = ["fake-camera", "--listen", "127.0.0.1:0", "--user", "user", "--password", "right-secret"];
    let camera = Program::start(&rtsp);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (right, wrong) = ("right-secret", "wrong-secret");
    let address = |password| format!("rtsp://user:{password}@{}/demo", camera.address);
    let sources = [
        clip("astronaut_pan_540p15.mp4"),
        address(right),
        address(wrong),
        format!("rtsp://{closed}/x"),
        clip("README.md"),
        clip("missing.mp4"),
    ];
    let mut arguments = vec!["run", "--listen", "127.0.0.1:0"];
    arguments.extend(sources.iter().map(String::as_str));
    let program = Program::start(&arguments);
    let expected = [
        ("astronaut-pan-540p15", "streaming", "960x540"),
        ("127.0.0.1", "streaming", "1280x720"),
        ("127.0.0.1-2", "unauthorised", "refused the user or password"),
        ("127.0.0.1-3", "refused", "refused the connection"),
        ("readme", "bad-stream", "not an MP4 file"),
        ("missing", "bad-stream", "No such file"),
    ];
    for (name, state, detail) in expected {
        program.wait_for_row("/api/cameras", name, |row| {
            row["state"] == state && row["detail"].as_str().is_some_and(|said| said.contains(detail))
        });
    }
    let (status, health) = program.get("/api/health", "").unwrap();
    assert!(status == 503 && health.contains("unauthorised"), "{status} {health}");
    let mut shown = program.output() + &camera.output();
    for path in ["/api/cameras", "/api/processes", "/api/health"] {
        shown += &program.get(path, "").unwrap().1;
    }
    for pid in program.children() {
        shown += &std::fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_pid())).unwrap();
    }
    assert!(!shown.contains(right) && !shown.contains(wrong), "a password is shown:\n{shown}");
    assert_eq!(program.stop(Signal::INT).1, Some(0));
    assert_eq!(camera.stop(Signal::TERM).1, Some(0));
}

#[test]
fn strangers_are_refused() {
    let program = Program::start(&["--listen", "127.0.0.1:0"]);
    let upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let live = "/api/cameras/demo/live";
    let status = |path: &str, headers: &str| program.get(path, headers).unwrap().0;
    assert_eq!(status(live, &format!("{upgrade}Origin: http://evil.example\r\n")), 403);
    assert_eq!(status("/api/processes", "Origin: http://evil.example\r\n"), 403);
    assert_eq!(status("/api/cameras/none/live", upgrade), 404);
    assert_eq!(status("/nothing", ""), 404);
    assert_eq!(status(live, ""), 400);
    assert_eq!(status("/", ""), 200);
}

#[test]
fn elsewhere_than_on_loopback_a_token_is_asked_for() {
    let program = Program::start(&["--listen", "0.0.0.0:0"]);
    let token = program.output().split_once("token=").unwrap().1.lines().next().unwrap().to_owned();
    assert_eq!(token.len(), 32);
    let status = |path: &str, headers: &str| program.get(path, headers).unwrap().0;
    assert_eq!(status("/api/cameras", ""), 401);
    assert_eq!(status("/", ""), 401);
    assert_eq!(status(&format!("/?token={token}"), ""), 200);
    assert_eq!(status("/api/cameras", &format!("Authorization: Bearer {token}\r\n")), 200);
    let port = program.address.rsplit(':').next().unwrap();
    assert_eq!(status("/api/cameras", &format!("Cookie: framewire_token_{port}={token}\r\n")), 200);
    assert_eq!(status("/api/cameras", &format!("Cookie: framewire_token_{port}=0123\r\n")), 401);
}
