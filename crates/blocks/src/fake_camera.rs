//! A camera to try things with: an RTSP server that loops a clip.

use std::{net::TcpListener, panic::AssertUnwindSafe, path::PathBuf, sync::Arc, thread};

use graph::{Block, BlockContext, BoxError, Passed, Text};
use media::{
    mp4::Clip,
    rtsp::server::{ServerOptions, serve},
    source::Credentials,
};
use serde::{Deserialize, Serialize};

/// An RTSP server that loops a clip, as a process.
#[derive(Debug)]
pub struct FakeCamera;

/// What a [`FakeCamera`] is started with.
#[derive(Serialize, Deserialize)]
pub struct FakeCameraConfig {
    /// The clip to loop; `None` is the one that comes with Framewire.
    pub clip: Option<PathBuf>,
    /// Where it listens. The socket is made by whoever starts it, so that it stays when the process doesn't.
    pub listener: Passed,
    /// The stream's path, such as `/demo`.
    pub path: String,
    /// User and password that it asks for, if any.
    pub credentials: Option<(String, String)>,
}

/// "Big Buck Bunny", (c) Blender Foundation, peach.blender.org, CC-BY 3.0.
const DEMO: &[u8] = include_bytes!("../../../media/demo_720p25.mp4");

impl Block for FakeCamera {
    const KIND: &'static str = "fake-camera";
    type Config = FakeCameraConfig;

    fn start(config: FakeCameraConfig, cx: &mut BlockContext) -> Result<Self, BoxError> {
        let clip = match &config.clip {
            Some(path) => Clip::open(path)?,
            None => Clip::parse(DEMO)?,
        };
        let listener = TcpListener::from(config.listener.into_owned()?);
        listener.set_nonblocking(true)?;
        cx.status().set_text(Text::Detail, &format!("rtsp://{}{}", listener.local_addr()?, config.path));
        let credentials = config.credentials.map(|(user, password)| Credentials { user, password });
        let options = ServerOptions { path: config.path, credentials };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("rtsp".to_owned()).spawn(move || {
            let run = AssertUnwindSafe(|| {
                runtime.block_on(async {
                    serve(tokio::net::TcpListener::from_std(listener)?, Arc::new(clip), options).await
                })
            });
            // It ends only by an error or a panic, and then this process is of no use.
            let ended = std::panic::catch_unwind(run);
            tracing::error!("the RTSP server ended: {ended:?}");
            std::process::exit(101);
        })?;
        Ok(Self)
    }
}
