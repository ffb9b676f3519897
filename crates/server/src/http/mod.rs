//! The server, a block: packets and findings in, HTTP and WebSocket out.

mod access;
mod assets;
mod audience;
mod camera;
mod lines;
mod live;
mod processes;
mod results;
mod routes;
mod stream;

use std::{collections::HashMap, net::TcpListener, panic::AssertUnwindSafe, sync::Arc, thread};

use blocks::{Found, Packet};
use graph::{Arrived, Block, BlockContext, BoxError, Frame, InputPort, Passed};
use serde::{Deserialize, Serialize};

use self::{access::Access, camera::Camera, processes::Processes, results::Results, routes::App};

/// Serves the page, the interface below it, and the live streams. It decodes nothing.
#[derive(Debug)]
pub struct Server {
    cameras: HashMap<String, Arc<Camera>>,
    results: Results,
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
    /// What finds something, in the order of the page.
    pub blocks: Vec<String>,
    /// Where what is found is to be written too.
    pub json_lines: Option<JsonLines>,
}

/// Where findings go as lines.
#[derive(Debug, Serialize, Deserialize)]
pub struct JsonLines {
    /// Standard output of whoever was started by a person.
    pub to: Passed,
    /// Without what moves.
    pub analysers_only: bool,
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
    /// What analysers find; the wire's label is the process's name.
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
        let results = Results::default();
        if let Some(JsonLines { to, analysers_only }) = config.json_lines {
            results.write(to.into_owned()?.into(), analysers_only)?;
        }
        let by_name = cameras.iter().map(|camera| (camera.name().to_owned(), camera.clone())).collect();
        let server = Self { cameras: by_name, results: results.clone() };
        let app = App::new(processes, cameras, config.blocks, results);
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
        match from.input {
            "packets" => self.cameras.get(from.label).into_iter().for_each(|camera| camera.packet(&frame)),
            _ => match Found::read(&frame) {
                Ok(found) => {
                    self.cameras.get(&found.camera).into_iter().for_each(|camera| camera.found(&found, frame.info()));
                    self.results.publish(&found, frame.info());
                }
                Err(error) => tracing::warn!(process = from.label, "what it found can't be read: {error}"),
            },
        }
        Ok(())
    }
}
