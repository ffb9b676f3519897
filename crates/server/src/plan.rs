//! From sources to a graph: which processes a camera needs, and how they are wired.

use std::{collections::HashSet, net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use blocks::{Camera, CameraConfig, Decoder, DecoderConfig, FakeCamera, FakeCameraConfig, Motion, MotionConfig};
use graph::{Block, BoxError, Graph, Node, Number, Passed, Policy, Restart, State, StatusPage, Wish};
use media::{
    source::{CameraUrl, SourceKind},
    view::{Format, View},
};

use crate::http::{CameraEntry, ProcessEntry, Server, ServerConfig};

/// Where pictures come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The clip that comes with Framewire, from a fake camera.
    Demo,
    /// A camera or a file.
    Camera(CameraUrl),
}

/// What motion is looked for in: enough to see a person at the far end of a yard, and cheap.
const ANALYSED: (u32, u32) = (320, 180);

/// A process that dies is back at once; one that keeps dying for a minute is given up.
fn policy() -> Restart {
    Restart::always().at_most(20).within(Duration::from_secs(60)).longest_delay(Duration::from_secs(5))
}

/// A graph in the making, and the table of its processes.
#[derive(Default)]
struct Plan {
    graph: Graph,
    processes: Vec<ProcessEntry>,
}

impl Plan {
    fn add<B: Block>(&mut self, name: &str, camera: Option<&str>, config: B::Config) -> Result<Node<B>, BoxError> {
        let page = Arc::new(StatusPage::create()?);
        self.list(name, B::KIND, camera, &page)?;
        Ok(self.graph.add::<B>(name, config, policy(), page))
    }

    fn list(&mut self, name: &str, kind: &str, camera: Option<&str>, page: &StatusPage) -> Result<(), BoxError> {
        let (name, kind, camera) = (name.to_owned(), kind.to_owned(), camera.map(ToOwned::to_owned));
        self.processes.push(ProcessEntry { name, kind, camera, page: page.read_only()? });
        Ok(())
    }
}

/// All that it takes to watch these sources.
pub fn watch(sources: Vec<Source>, listener: TcpListener, token: Option<String>) -> Result<Graph, BoxError> {
    let mut plan = Plan::default();
    plan.list("supervisor", "supervisor", None, &own_page()?)?;
    let (mut cameras, mut names) = (Vec::new(), HashSet::new());
    let mut feeds = Vec::new();
    for source in sources {
        let name = unique(&name_of(&source), &mut names);
        let url = match source {
            Source::Camera(url) => url,
            Source::Demo => demo(&mut plan, &name)?,
        };
        cameras.push(CameraEntry { name: name.clone(), url: url.to_string() });
        let camera = plan.add::<Camera>(&format!("{name}.camera"), Some(&name), CameraConfig { url })?;
        let view = View { size: Some(ANALYSED), format: Format::Gray8, fps: None };
        let decoder = plan.add::<Decoder>(&format!("{name}.decoder"), Some(&name), DecoderConfig { view })?;
        let motion = plan.add::<Motion>(&format!("{name}.motion"), Some(&name), MotionConfig::default())?;
        let all = Wish { policy: Policy::DropOldest { depth: 512 }, leases: 2 };
        let newest = Wish { policy: Policy::DropOldest { depth: 4 }, leases: 2 };
        plan.graph.wire((camera, Camera::PACKETS), (decoder, Decoder::PACKETS), &name, all);
        plan.graph.wire((decoder, Decoder::PICTURES), (motion, Motion::PICTURES), &name, newest);
        feeds.push((name, camera, motion, all));
    }
    let page = Arc::new(StatusPage::create()?);
    plan.list("server", Server::KIND, None, &page)?;
    let config = ServerConfig { listener: Passed::new(listener), token, processes: plan.processes, cameras };
    let server = plan.graph.add::<Server>("server", config, policy(), page);
    for (name, camera, motion, all) in feeds {
        plan.graph.wire((camera, Camera::PACKETS), (server, Server::PACKETS), &name, all);
        plan.graph.wire((motion, Motion::FOUND), (server, Server::FOUND), &name, all);
    }
    Ok(plan.graph)
}

/// A fake camera and nothing else.
pub fn fake_camera(
    clip: Option<PathBuf>,
    listener: TcpListener,
    path: String,
    credentials: Option<(String, String)>,
) -> Result<Graph, BoxError> {
    let mut plan = Plan::default();
    let config = FakeCameraConfig { clip, listener: Passed::new(listener), path, credentials };
    plan.add::<FakeCamera>("fake-camera", None, config)?;
    Ok(plan.graph)
}

/// A fake camera on a port of its own, and the address of its stream. The socket is made here and handed down, so the
/// address stays the same when the process is restarted.
fn demo(plan: &mut Plan, name: &str) -> Result<CameraUrl, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("listen for the fake camera: {error}"))?;
    let url = format!("rtsp://{}/demo", listener.local_addr()?).parse()?;
    let listener = Passed::new(listener);
    let config = FakeCameraConfig { clip: None, listener, path: "/demo".to_owned(), credentials: None };
    plan.add::<FakeCamera>("fake-camera", Some(name), config)?;
    Ok(url)
}

/// The supervisor's own row in the table.
fn own_page() -> Result<StatusPage, BoxError> {
    let page = StatusPage::create()?;
    page.set(Number::Pid, u64::from(std::process::id()));
    page.set(Number::State, State::Ready as u64);
    page.set(Number::StartedNs, shm::clock::monotonic_ns());
    Ok(page)
}

/// What a person would call it: a host, or a file without its ending.
fn name_of(source: &Source) -> String {
    let named = match source {
        Source::Demo => "demo".to_owned(),
        Source::Camera(url) => match url.kind() {
            SourceKind::Rtsp(url) => url.host_str().unwrap_or("camera").to_owned(),
            SourceKind::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        },
    };
    let is_safe = |character: char| character.is_ascii_alphanumeric() || character == '.';
    let safe = |character: char| if is_safe(character) { character.to_ascii_lowercase() } else { '-' };
    let name: String = named.chars().map(safe).collect();
    let name = name.trim_matches(['-', '.']);
    if name.is_empty() { "camera".to_owned() } else { name.chars().take(32).collect() }
}

fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.unwrap_or_default(); // there are more numbers than names
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_have_names_that_are_unique_and_safe_in_an_address() {
        let name = |url: &str| name_of(&Source::Camera(url.parse().unwrap()));
        assert_eq!(name("rtsp://user:password@10.0.0.2/stream1"), "10.0.0.2");
        assert_eq!(name("clips/Front Door.mp4"), "front-door");
        assert_eq!(name_of(&Source::Demo), "demo");
        let mut taken = HashSet::new();
        let three: Vec<String> = (0..3).map(|_| unique("door", &mut taken)).collect();
        assert_eq!(three, ["door", "door-2", "door-3"]);
    }
}
