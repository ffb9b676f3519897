//! What several tests need: the repository's clips, and a fake camera on a port of its own.

#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]
#![expect(dead_code, reason = "each test file uses a part of the rig")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use media::mp4::Clip;
use media::rtsp::server::{ServerOptions, serve};
use media::source::{CameraUrl, Credentials};
use tokio::net::TcpListener;

pub const ASTRONAUT: &str = "astronaut_pan_540p15.mp4";
pub const BUNNY: &str = "bigbuckbunny_720p.mp4";
pub const B_FRAMES: &str = "testsrc_bframes_180p25.mp4";

/// Longer than anything takes on a busy machine; a test that waits so long has failed.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn path(clip: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../media")).join(clip)
}

pub fn clip(name: &str) -> Clip {
    Clip::open(&path(name)).unwrap()
}

pub fn password() -> Credentials {
    Credentials { user: "admin".into(), password: "pass:w@rd".into() }
}

/// Runs `test` beside a fake camera that plays `name` at `/door`.
pub fn beside_camera<F: Future>(name: &str, credentials: Option<Credentials>, test: impl FnOnce(SocketAddr) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServerOptions { path: "/door".into(), credentials };
        let serving = serve(listener, Arc::new(clip(name)), options);
        tokio::select! {
            ended = serving => panic!("the server ended: {ended:?}"),
            in_time = tokio::time::timeout(LIMIT * 2, test(address)) => { in_time.expect("the test took too long"); }
        }
    });
}

pub fn camera(address: SocketAddr, login: &str) -> CameraUrl {
    format!("rtsp://{login}{address}/door").parse().unwrap()
}
