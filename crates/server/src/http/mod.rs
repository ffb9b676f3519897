//! The server, a block: packets and findings in, HTTP and WebSocket out.

mod access;
mod assets;
mod camera;
mod live;
mod processes;
mod routes;
mod stream;

use std::{collections::HashMap, net::TcpListener, panic::AssertUnwindSafe, sync::Arc, thread};

use blocks::{Found, Packet};
use graph::{Arrived, Block, BlockContext, BoxError, Frame, InputPort, Passed};
use serde::{Deserialize, Serialize};

use self::{access::Access, camera::Camera, processes::Processes, routes::App};

/// Serves the page, the interface below it, and the live streams. It decodes nothing.
#[derive(Debug)]
pub struct Server {
    cameras: HashMap<String, Arc<Camera>>,
}

/// What a [`Server`] is started with.
#[derive(Debug, Serialize, Deserialize)]
pub struct ServerConfig {
    /// Where it listens; made by whoever starts it, so that it stays when the process doesn't.
    pub listener: Passed,
    /// What a browser must show, if anything.
    pub token: Option<String>,
    /// Every process, in the order of the table.
    pub processes: Vec<ProcessEntry>,
    /// Every camera, in the order of the page.
    pub cameras: Vec<CameraEntry>,
}

/// A row of the table.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProcessEntry {
    /// Unique.
    pub name: String,
    /// What it runs.
    pub kind: String,
    /// The camera that it works for.
    pub camera: Option<String>,
    /// Its status page, to be read.
    pub page: Passed,
}

/// A camera.
#[derive(Debug, Serialize, Deserialize)]
pub struct CameraEntry {
    /// Unique, and safe in an address.
    pub name: String,
    /// Where it comes from, without its password.
    pub url: String,
}

impl Server {
    /// Each camera's packets; the wire's label is the camera's name.
    pub const PACKETS: InputPort<Packet> = InputPort::new("packets");
    /// What analysers find; labelled in the same way.
    pub const FOUND: InputPort<Found> = InputPort::new("found");
}

impl Block for Server {
    const KIND: &'static str = "server";
    type Config = ServerConfig;

    fn start(config: ServerConfig, _cx: &mut BlockContext) -> Result<Self, BoxError> {
        let listener = TcpListener::from(config.listener.into_owned()?);
        listener.set_nonblocking(true)?;
        let access = Access::new(listener.local_addr()?, config.token);
        let processes = Arc::new(Processes::open(config.processes)?);
        let cameras: Vec<Arc<Camera>> =
            config.cameras.into_iter().map(|entry| Arc::new(Camera::new(entry, &processes))).collect();
        let server =
            Self { cameras: cameras.iter().map(|camera| (camera.name().to_owned(), camera.clone())).collect() };
        let app = App::new(processes, cameras);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        thread::Builder::new().name("http".to_owned()).spawn(move || {
            let run = AssertUnwindSafe(|| runtime.block_on(async { routes::serve(listener, access, app).await }));
            // It ends only by an error or a panic, and then this process is of no use.
            let ended = std::panic::catch_unwind(run);
            tracing::error!("the HTTP server ended: {ended:?}");
            std::process::exit(1);
        })?;
        Ok(server)
    }

    fn frame(&mut self, from: Arrived<'_>, frame: Frame, _cx: &mut BlockContext) -> Result<(), BoxError> {
        if let Some(camera) = self.cameras.get(from.label) {
            match from.input {
                "packets" => camera.packet(&frame),
                _ => camera.found(&frame),
            }
        }
        Ok(())
    }
}
