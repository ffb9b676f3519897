//! What can be said on the command line.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};
use media::source::CameraUrl;
use process::{BoxError, System};

use crate::{
    plan::{self, Source},
    printer::Printer,
    terminal,
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
        #[command(flatten)]
        page: Page,
    },
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
struct Page {
    /// Where the page is served [default: 127.0.0.1:8080]; any but a loopback address needs a token
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// The token that a browser must show; without it one is made up if the address needs one
    #[arg(long)]
    token: Option<String>,
}

/// Does what the command line says.
pub fn obey(system: &System) -> Result<(), BoxError> {
    let CommandLine { command, page } = CommandLine::parse();
    let printer = Printer::start()?;
    terminal::log(&printer);
    let done = run(system, command, page, &printer);
    printer.finish();
    done
}

fn run(system: &System, command: Option<Command>, page: Page, printer: &Printer) -> Result<(), BoxError> {
    match command {
        None => watch(system, &[], page, printer),
        // `framewire --listen … run` means the same as `framewire run --listen …`.
        Some(Command::Run { sources, page: own }) => {
            let page = Page { listen: own.listen.or(page.listen), token: own.token.or(page.token) };
            watch(system, &sources, page, printer)
        }
        Some(Command::FakeCamera { clip, listen, path, user, password }) => {
            let listener = bind(listen)?;
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            let address = format!("rtsp://{}{path}", listener.local_addr()?);
            let graph = plan::fake_camera(clip, listener, path, user.zip(password))?;
            terminal::supervise(system, graph, &format!("The fake camera is at {address}"), printer)
        }
    }
}

fn watch(system: &System, sources: &[String], page: Page, printer: &Printer) -> Result<(), BoxError> {
    let sources = if sources.is_empty() {
        vec![Source::Demo]
    } else {
        if sources.len() > MAX_SOURCES {
            return Err(format!("watch {} sources: {MAX_SOURCES} is the most for one program", sources.len()).into());
        }
        let parse = |(index, source): (usize, &String)| {
            let parsed = source.parse::<CameraUrl>().map(Source::Camera);
            // The text itself isn't repeated: there may be a password in it.
            parsed.map_err(|error| format!("use source {} of {}: {error}", index + 1, sources.len()))
        };
        sources.iter().enumerate().map(parse).collect::<Result<_, _>>()?
    };
    raise_descriptor_limit();
    let listener = bind(page.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))))?;
    let address = listener.local_addr()?;
    let token = match page.token {
        Some(token) if token.is_empty() || !token.chars().all(is_plain) => {
            return Err("use this --token: it must be of letters, digits and - . _ ~, to stand in an address".into());
        }
        None if !address.ip().is_loopback() => Some(made_up()?),
        token => token,
    };
    let shown = token.as_ref().map_or_else(String::new, |token| format!("/?token={token}"));
    let graph = plan::watch(sources, listener, token)?;
    let mut greeting = format!("Framewire is at http://{address}{shown}");
    if address.ip().is_unspecified() {
        let port = address.port();
        greeting = format!("Framewire is at http://127.0.0.1:{port}{shown}\nand at this machine's other addresses");
    }
    terminal::supervise(system, graph, &greeting, printer)
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

fn bind(address: SocketAddr) -> Result<TcpListener, BoxError> {
    TcpListener::bind(address).map_err(|error| {
        format!(
            "listen on port {} of {}: {error}; choose another with --listen ADDR:PORT",
            address.port(),
            address.ip()
        )
        .into()
    })
}

/// A token that can't be guessed: 128 random bits.
fn made_up() -> Result<String, BoxError> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
