//! What can be said on the command line.

use std::{
    io::stdout,
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use media::source::CameraUrl;
use process::{
    BoxError, System,
    systemd::{Journal, Service},
};
use rustix::net::sockopt::socket_acceptconn;

use crate::{
    analysers::{self, Analysers, Analysis},
    install::Install,
    plan::{self, Source},
    printer::Printer,
    python::Python,
    secrets,
    terminal::{self, Show},
};

/// Runs video streams through isolated processes.
///
/// Without a command it runs the demonstration: a fake camera, a decoder, a motion detector and a page to watch
/// them.
#[derive(Debug, Parser)]
#[command(name = "framewire", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watches cameras (rtsp://user:password@host/path) or files, all at once
    Run {
        /// Where the pictures come from; without any it is the demonstration
        sources: Vec<String>,
        /// More of them, one a line, in a file that others can't read: so a password stands in no command line
        #[arg(long, value_name = "FILE")]
        sources_from: Option<PathBuf>,
        #[command(flatten)]
        analysis: Analyses,
        #[command(flatten)]
        page: Page,
    },
    /// Writes a unit for systemd that runs these sources from the machine's start on; starts nothing
    Install(Install),
    /// Is a camera: an RTSP server that loops a clip
    FakeCamera {
        /// An MP4 file with H.264; by default the clip of the demonstration
        clip: Option<PathBuf>,
        /// Where to listen
        #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8554")]
        listen: SocketAddr,
        /// The stream's path
        #[arg(long, default_value = "/demo")]
        path: String,
        /// Ask for this user …
        #[arg(long, requires = "password")]
        user: Option<String>,
        /// … and this password
        #[arg(long, requires = "user")]
        password: Option<String>,
    },
}

/// What is looked for in the pictures, in Python.
#[derive(Clone, Debug, Args)]
struct Analyses {
    /// Analyses every camera by this Python file, or by the function or class NAME in it; may be given several times
    #[arg(long, alias = "analyze", value_name = "FILE.py[:NAME]")]
    analyse: Vec<String>,
    /// Gives an analyser a parameter: a keyword argument of its function or class; BLOCK is whose, if there are several
    #[arg(long, value_name = "[BLOCK.]NAME=VALUE", requires = "analyse")]
    set: Vec<String>,
    /// Starts an analyser anew when its file is saved, or a module of its folder that it imports
    #[arg(long)]
    watch: bool,
    /// Prints what analysers find as JSON lines (without --analyse: what moves), and all else to standard error
    #[arg(long)]
    json: bool,
    /// How long an analyser may take to load, a large model, say; beyond, it is ended
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    ready_within: Duration,
    /// How long an analyser may work on one picture; beyond, it hangs, and is started anew
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    responsive_within: Duration,
    /// How long an analyser has to stop, to save something, say, before it is ended
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    stop_within: Duration,
    /// The Python to use [default: the one that Framewire is installed in, else $VIRTUAL_ENV, else python3]
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// Where the page is, and who may see it.
#[derive(Clone, Debug, Args)]
pub struct Page {
    /// Where the page is served [default: 127.0.0.1:8080]; any but a loopback address needs a token
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// The token that a browser must show; without it one is made up if the address needs one
    #[arg(long)]
    pub token: Option<String>,
    /// The same, in a file that others can't read
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_from: Option<PathBuf>,
}

/// Does what the command line says.
pub fn obey(system: &System) -> Result<(), BoxError> {
    let CommandLine { command, page } = CommandLine::parse();
    let quiet = matches!(&command, Some(Command::Run { analysis, .. }) if analysis.json);
    let printer = Printer::start(quiet)?;
    let journal = terminal::log(&printer);
    let done = run(system, command, page, &printer);
    printer.finish();
    journal.iter().for_each(Journal::finish);
    done
}

fn run(system: &System, command: Option<Command>, page: Page, printer: &Printer) -> Result<(), BoxError> {
    match command {
        None => watch(system, &[], None, page, printer),
        Some(Command::Run { mut sources, sources_from, analysis, page: own }) => {
            if let Some(file) = sources_from {
                sources.extend(secrets::lines(&file)?);
                if sources.is_empty() {
                    return Err(format!("use the sources in {}: there are none", file.display()).into());
                }
            }
            watch(system, &sources, Some(analysis), own.or(page), printer)
        }
        Some(Command::Install(mut install)) => {
            install.page = install.page.or(page);
            install.obey(printer)
        }
        Some(Command::FakeCamera { clip, listen, path, user, password }) => {
            let service = Service::of(system).join()?;
            let listener = bind(&service, listen)?;
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            let address = format!("rtsp://{}{path}", listener.local_addr()?);
            let graph = plan::fake_camera(clip, listener, path, user.zip(password))?;
            let greeting = format!("The fake camera is at {address}");
            let show = Show { graph, analysers: Analysers::default(), greeting, json: false };
            terminal::supervise(system, &service, show, printer)
        }
    }
}

impl Page {
    /// `framewire --listen … run` means the same as `framewire run --listen …`.
    fn or(self, general: Self) -> Self {
        let (own_token, general_token) = ((self.token, self.token_from), (general.token, general.token_from));
        let (token, token_from) = if own_token == (None, None) { general_token } else { own_token };
        Self { listen: self.listen.or(general.listen), token, token_from }
    }
}

/// What these texts mean.
pub fn parse(sources: &[String]) -> Result<Vec<CameraUrl>, BoxError> {
    if sources.len() > MAX_SOURCES {
        return Err(format!("watch {} sources: {MAX_SOURCES} is the most for one program", sources.len()).into());
    }
    let parse = |(index, source): (usize, &String)| {
        // The text itself isn't repeated: there may be a password in it.
        source.parse().map_err(|error| format!("use source {} of {}: {error}", index + 1, sources.len()).into())
    };
    sources.iter().enumerate().map(parse).collect()
}

fn watch(
    system: &System,
    sources: &[String],
    analysis: Option<Analyses>,
    page: Page,
    printer: &Printer,
) -> Result<(), BoxError> {
    let sources: Vec<Source> = match sources {
        [] => vec![Source::Demo],
        sources => parse(sources)?.into_iter().map(Source::Camera).collect(),
    };
    if let Some(analysis) = &analysis
        && analysis.analyse.len() > most_analysers(sources.len())
    {
        let (analysers, most) = (analysis.analyse.len(), most_analysers(sources.len()));
        let sources = sources.len();
        return Err(format!("analyse {sources} sources by {analysers} files: {most} is the most for so many").into());
    }
    let json = analysis.as_ref().is_some_and(|analysis| analysis.json);
    let analyses = analysis.map(analyses).transpose()?.flatten();
    // The page is what the service can't do without. A camera's processes are restarted one by one, and their hanging is no
    // reason to restart all the others.
    let service = Service::of(system).require(["server"]).join()?;
    raise_descriptor_limit();
    let listener = bind(&service, page.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))))?;
    let address = listener.local_addr()?;
    let token = match page.token_from {
        Some(file) => secrets::lines(&file)?.pop(),
        None => page.token,
    };
    let token = match token {
        Some(token) => Some(checked(token)?),
        None if !address.ip().is_loopback() => Some(made_up()?),
        None => None,
    };
    let shown = token.as_ref().map_or_else(String::new, |token| format!("/?token={token}"));
    let json_lines = json.then(|| stdout().as_fd().try_clone_to_owned()).transpose()?;
    let (graph, analysers) = plan::watch(plan::Watch { sources, analyses, listener, token, json_lines })?;
    let mut greeting = format!("Framewire is at http://{address}{shown}");
    if address.ip().is_unspecified() {
        let port = address.port();
        greeting = format!("Framewire is at http://127.0.0.1:{port}{shown}\nand at this machine's other addresses");
    }
    terminal::supervise(system, &service, Show { graph, analysers, greeting, json }, printer)
}

/// A token that can stand in an address.
pub fn checked(token: String) -> Result<String, BoxError> {
    if token.is_empty() || !token.chars().all(is_plain) {
        return Err("use this --token: it must be of letters, digits and - . _ ~, to stand in an address".into());
    }
    Ok(token)
}

/// What is to be run in Python, if anything, once all that is known to be there.
fn analyses(analysis: Analyses) -> Result<Option<plan::Analyses>, BoxError> {
    if analysis.analyse.is_empty() {
        return Ok(None);
    }
    let mut all = analysis.analyse.iter().map(|text| Analysis::parse(text)).collect::<Result<Vec<_>, _>>()?;
    analysers::set(&mut all, &analysis.set)?;
    let python = Python::find(analysis.python.clone())?;
    let Analyses { watch, ready_within, responsive_within, stop_within, .. } = analysis;
    Ok(Some(plan::Analyses { all, python, watch, ready_within, responsive_within, stop_within }))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|limit| *limit >= LEAST_LIMIT).ok_or_else(|| "it is to be 0.1 seconds or more".to_owned())
}

/// Below this a loaded machine, not the analyser, would be what hangs.
const LEAST_LIMIT: Duration = Duration::from_millis(100);

/// The table of processes goes to the server in one message, which carries 253 descriptors: three for each camera.
const MAX_SOURCES: usize = 80;
/// What that leaves for one for each analyser, and five of others.
const fn most_analysers(sources: usize) -> usize {
    253 - 5 - 3 * sources
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~".contains(character)
}

/// Some six descriptors a process: the usual soft limit of 1,024 would end at fifty cameras.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If it is refused, the lower limit may do; what doesn't fit says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The name of a socket in a `.socket` unit (`FileDescriptorName=`).
const OF_UNIT: &str = "http";
/// Under which the socket is kept across a restart of the supervisor: meanwhile connections wait in it.
const KEPT: &str = "listener";

/// The socket that systemd has for us, or a new one, which it keeps then.
fn bind(service: &Service, address: SocketAddr) -> Result<TcpListener, BoxError> {
    if let Some(socket) = service.descriptors(OF_UNIT).into_iter().next() {
        let is_listening = socket_acceptconn(&socket).unwrap_or(false);
        let listener = TcpListener::from(socket);
        return match listener.local_addr() {
            Ok(_) if is_listening => Ok(listener),
            _ => Err(format!("use the socket {OF_UNIT} of the unit: it isn't one of TCP that listens (ListenStream=)")
                .into()),
        };
    }
    let wants = |had: SocketAddr| had.ip() == address.ip() && (address.port() == 0 || had.port() == address.port());
    let mut kept = service.descriptors(KEPT).into_iter().map(TcpListener::from);
    if let Some(listener) = kept.find(|listener| listener.local_addr().is_ok_and(wants)) {
        return Ok(listener);
    }
    let listener = TcpListener::bind(address).map_err(|error| {
        format!(
            "listen on port {} of {}: {error}; choose another with --listen ADDR:PORT",
            address.port(),
            address.ip()
        )
    })?;
    // Only a comfort: what it is for works without it.
    if let Err(error) = service.forget(KEPT).and_then(|()| service.keep_descriptor(KEPT, &listener)) {
        tracing::warn!("could not {error}");
    }
    Ok(listener)
}

/// A token that can't be guessed: 128 random bits.
pub fn made_up() -> Result<String, BoxError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
