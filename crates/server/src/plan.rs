//! From sources to a graph: which processes a camera needs, and how they are wired.

use std::{collections::HashSet, net::TcpListener, os::fd::OwnedFd, path::PathBuf, sync::Arc, time::Duration};

use blocks::{
    Analyser, AnalyserConfig, Camera, CameraConfig, Decoder, FakeCamera, FakeCameraConfig, Motion, MotionConfig,
};
use graph::{
    Block, BlockHost, BoxError, Executable, Graph, Node, Number, Passed, Policy, Restart, State, StatusPage, Wish,
};
use media::{
    source::{CameraUrl, SourceKind},
    view::{Format, View},
};

use crate::{
    analysers::{self, Analysers, Analysis},
    http::{CameraEntry, JsonLines, ProcessEntry, Server, ServerConfig},
    python::Python,
};

/// Where pictures come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The clip that comes with Framewire, from a fake camera.
    Demo,
    /// A camera or a file.
    Camera(CameraUrl),
}

/// What to watch, and for whom.
pub struct Watch {
    /// Where pictures come from.
    pub sources: Vec<Source>,
    /// What is looked for in them in Python.
    pub analyses: Option<Analyses>,
    /// Where the page is served.
    pub listener: TcpListener,
    /// What a browser must show.
    pub token: Option<String>,
    /// Where findings go as lines.
    pub json_lines: Option<OwnedFd>,
}

/// What is looked for in Python.
pub struct Analyses {
    /// Each is a process, for all cameras.
    pub all: Vec<Analysis>,
    /// What runs them.
    pub python: Python,
    /// Whether each is started anew when its file is saved.
    pub watch: bool,
    /// How long one may take to load.
    pub ready_within: Duration,
    /// How long one may work on one picture.
    pub responsive_within: Duration,
    /// How long one has to stop.
    pub stop_within: Duration,
}

/// What motion is looked for in: enough to see a person at the far end of a yard, and cheap.
const ANALYSED: (u32, u32) = (320, 180);

/// A process that dies is back at once; one that dies and dies is given up after a minute, or after two if it works a little in
/// between. (The delays alone, up to 5 s, let it die some 35 times in that time.)
fn policy() -> Restart {
    Restart::always().at_most(20).within(Duration::from_secs(120)).longest_delay(Duration::from_secs(5))
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

/// One more than it may keep: with that one it sees that it has too many, and says who holds them.
const ANALYSER_LEASES: u32 = Analyser::LEASES + 1;

/// All that it takes to watch these sources.
pub fn watch(Watch { sources, analyses, listener, token, json_lines }: Watch) -> Result<(Graph, Analysers), BoxError> {
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
        let decoder = plan.add::<Decoder>(&format!("{name}.decoder"), Some(&name), ())?;
        let motion_name = format!("{name}.motion");
        let motion = plan.add::<Motion>(&motion_name, Some(&name), MotionConfig::default())?;
        let newest = Wish { policy: Policy::DropOldest { depth: 4 }, leases: 2 };
        plan.graph.wire((camera, Camera::PACKETS), (decoder, Decoder::PACKETS), &name, ALL);
        plan.graph.wire_that_goes_on((decoder, Decoder::pictures(&view)), (motion, Motion::PICTURES), &name, newest);
        feeds.push(Feed { name, camera, decoder, motion, motion_name });
    }
    let found_by = analyses.iter().flat_map(|analyses| analysers::blocks(&analyses.all));
    let blocks = std::iter::once(Motion::KIND.to_owned()).chain(found_by).collect();
    let (analysers, nodes) = match analyses {
        Some(analyses) => plan.add_analysers(analyses, &feeds)?,
        None => Default::default(),
    };
    let page = Arc::new(StatusPage::create()?);
    plan.list("server", Server::KIND, None, &page)?;
    let json_lines = json_lines.map(|to| JsonLines { to: Passed::new(to), analysers_only: !nodes.is_empty() });
    let config =
        ServerConfig { listener: Passed::new(listener), token, processes: plan.processes, cameras, blocks, json_lines };
    let server = plan.graph.add::<Server>("server", config, policy(), page);
    for Feed { name, camera, motion, motion_name, .. } in feeds {
        plan.graph.wire((camera, Camera::PACKETS), (server, Server::PACKETS), &name, ALL);
        plan.graph.wire_that_goes_on((motion, Motion::FOUND), (server, Server::FOUND), &motion_name, ALL);
    }
    for (analyser, node) in analysers.all.iter().zip(nodes) {
        plan.graph.wire_that_goes_on((node, Analyser::FOUND), (server, Server::FOUND), &analyser.process, ALL);
    }
    Ok((plan.graph, analysers))
}

/// All that is published, also if the reader was slow for some seconds.
const ALL: Wish = Wish { policy: Policy::DropOldest { depth: 512 }, leases: 2 };

/// What a camera feeds.
struct Feed {
    name: String,
    camera: Node<Camera>,
    decoder: Node<Decoder>,
    motion: Node<Motion>,
    motion_name: String,
}

impl Plan {
    /// One process for each file, wired to the decoders of all cameras: a heavy model is in memory once.
    fn add_analysers(
        &mut self,
        analyses: Analyses,
        feeds: &[Feed],
    ) -> Result<(Analysers, Vec<Node<Analyser>>), BoxError> {
        let Analyses { all, python, watch, ready_within, responsive_within, stop_within } = analyses;
        let (mut analysers, mut nodes) = (Analysers { all: Vec::new(), watch, stop_within }, Vec::new());
        let blocks = analysers::blocks(&all);
        for (analysis, block) in all.into_iter().zip(blocks) {
            let (process, page) = (format!("{block}.analyser"), Arc::new(StatusPage::create()?));
            self.list(&process, Analyser::KIND, None, &page)?;
            let Analysis { file, name, parameters } = analysis;
            let config = AnalyserConfig {
                block,
                file: file.clone(),
                name,
                parameters,
                ready_within: Some(ready_within),
                responsive_within: Some(responsive_within),
            };
            // -P: what is in the working folder isn't what is installed. -u: lines come as they are printed.
            let run = Executable::new(python.program()).args(["-P", "-u", "-m", "framewire.analyser"]);
            let (run, its_page) = (run.args([&file]), page.clone());
            let node = self.graph.add_optional::<Analyser>(&process, stop_within, move |system| {
                let spawn = system.spawn::<BlockHost<Analyser>>(config.clone()).executable(run.clone());
                // It may be killed while it loads its model, too.
                let spawn =
                    spawn.restart(policy().from_the_start()).status(its_page.clone()).ready_within(ready_within);
                // Python knows a compiled module's source by its time in whole seconds: one saved twice in a second would be
                // taken for what it was.
                let spawn = if watch { spawn.env("PYTHONDONTWRITEBYTECODE", "1") } else { spawn };
                spawn.responsive_within(responsive_within)
            });
            // The newest picture of each camera: whoever takes long skips those in between.
            let newest = Wish { policy: Policy::Latest, leases: ANALYSER_LEASES };
            for Feed { name, decoder, .. } in feeds {
                self.graph.wire_that_goes_on((*decoder, Decoder::PICTURES), (node, Analyser::PICTURES), name, newest);
            }
            analysers.all.push(analysers::Analyser { process, file, page });
            nodes.push(node);
        }
        Ok((analysers, nodes))
    }
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

/// The name, or if it is taken another one by a number behind it; it is taken then.
pub fn unique(name: &str, taken: &mut HashSet<String>) -> String {
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
