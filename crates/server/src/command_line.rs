//! What can be said on the command line.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use media::source::CameraUrl;
use process::{
    BoxError, System,
    systemd::{Journal, Service},
};
use rustix::net::sockopt::socket_acceptconn;

use crate::{
    install::Install,
    plan::{self, Source},
    printer::Printer,
    secrets, terminal,
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
    let printer = Printer::start()?;
    let journal = terminal::log(&printer);
    let done = run(system, command, page, &printer);
    printer.finish();
    journal.iter().for_each(Journal::finish);
    done
}

fn run(system: &System, command: Option<Command>, page: Page, printer: &Printer) -> Result<(), BoxError> {
    match command {
        None => watch(system, &[], page, printer),
        Some(Command::Run { mut sources, sources_from, page: own }) => {
            if let Some(file) = sources_from {
                sources.extend(secrets::lines(&file)?);
                if sources.is_empty() {
                    return Err(format!("use the sources in {}: there are none", file.display()).into());
                }
            }
            watch(system, &sources, own.or(page), printer)
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
            terminal::supervise(system, &service, graph, &format!("The fake camera is at {address}"), printer)
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

fn watch(system: &System, sources: &[String], page: Page, printer: &Printer) -> Result<(), BoxError> {
    let sources = match sources {
        [] => vec![Source::Demo],
        sources => parse(sources)?.into_iter().map(Source::Camera).collect(),
    };
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
    let graph = plan::watch(sources, listener, token)?;
    let mut greeting = format!("Framewire is at http://{address}{shown}");
    if address.ip().is_unspecified() {
        let port = address.port();
        greeting = format!("Framewire is at http://127.0.0.1:{port}{shown}\nand at this machine's other addresses");
    }
    terminal::supervise(system, &service, graph, &greeting, printer)
}

/// A token that can stand in an address.
pub fn checked(token: String) -> Result<String, BoxError> {
    if token.is_empty() || !token.chars().all(is_plain) {
        return Err("use this --token: it must be of letters, digits and - . _ ~, to stand in an address".into());
    }
    Ok(token)
}

/// The table of processes goes to the server in one message, which carries 253 descriptors: three for each camera.
const MAX_SOURCES: usize = 80;

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
