//! Other people's programs at either end of RTSP.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use super::program::{Program, clip};

#[test]
#[ignore = "needs ffprobe; `cargo xtask test e2e` runs it"]
fn ffprobe_reads_our_fake_camera() {
    let camera = Program::start(&["fake-camera", "--listen", "127.0.0.1:0", "--user", "user", "--password", "secret"]);
    let url = format!("rtsp://user:secret@{}/demo", camera.address);
    for transport in ["tcp", "udp"] {
        let entries = "stream=codec_name,width,height";
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-rtsp_transport", transport, "-show_entries", entries, "-of", "csv=p=0", &url])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&probe.stdout);
        assert_eq!(said.trim(), "h264,1280,720", "{transport}: {}", String::from_utf8_lossy(&probe.stderr));
    }
}

struct Gstreamer(Child);

impl Drop for Gstreamer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs GStreamer's RTSP server; `cargo xtask test e2e` runs it"]
fn our_camera_reads_gstreamers_server() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../media/tests/gst_server.py");
    // The system's Python: that is the one with GStreamer's bindings.
    let server = Command::new("/usr/bin/python3")
        .args([script, &clip("astronaut_pan_540p15.mp4")])
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn();
    let mut server = Gstreamer(server.unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let program =
        Program::start(&["run", &format!("rtsp://127.0.0.1:{}/door", port.trim()), "--listen", "127.0.0.1:0"]);
    let row = program.wait_for_row("/api/cameras", "127.0.0.1", |row| row["state"] == "streaming");
    assert_eq!((row["width"].as_u64(), row["height"].as_u64()), (Some(960), Some(540)));
    program.wait_for_row("/api/processes", "127.0.0.1.motion", |row| row["frames_out_per_s"].as_f64() > Some(5.0));
}
