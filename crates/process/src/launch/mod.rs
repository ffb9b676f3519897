//! How a child comes to be: this executable again, with its line to the parent. By exec, or as a copy of a zygote.

mod exec;
mod inherited;
mod launchers;
pub(crate) mod zygote;

use std::{
    ffi::OsString,
    io::{self, PipeReader, PipeWriter},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use rustix::process::Pid;
use shm::{
    status::StatusPage,
    wire::{Packet, SendError, Socket},
};

pub(crate) use self::launchers::{Launchers, Progress};
use crate::{
    BoxError, Executable,
    line::Line,
    message::{Hello, Kind, Message},
    surroundings::Surroundings,
};

/// How children are started: for all of a program ([`Program::launcher`](crate::Program::launcher)), or for one
/// ([`Spawn::launcher`](crate::Spawn::launcher)). It makes no difference to what they can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Launcher {
    /// This executable is started anew for each: nothing that it has done before is there, whatever that was. It costs some two
    /// milliseconds of work, most of them the kernel's and the dynamic linker's.
    #[default]
    Exec,
    /// A *zygote* copies itself: this executable, started once, having come as far as [`Program::run`](crate::Program::run) with
    /// one thread. A quarter of that work, half of the private memory, and what `main` has loaded before is there already.
    ///
    /// Not for what a copy can't have: CUDA, and libraries that start threads when they are loaded. If `main` starts threads,
    /// or the system forbids copying (`clone3`), [`Exec`](Self::Exec) is used, and a line of the log says why. Children are the
    /// application's own, and don't end with the zygote; if that ends, there is a new one with the next child.
    Zygote,
}

/// What doesn't change from one incarnation to the next.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub name: String,
    pub what: What,
    /// What becomes it; `None`: this executable again.
    pub executable: Option<Executable>,
    /// For a kind its own; for a foreign program a [`foreign::Line`](crate::foreign).
    pub config: Packet,
    /// Variables to set, or to take away.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// Whether it has all others that we have.
    pub has_our_environment: bool,
    pub folder: Option<PathBuf>,
    pub surroundings: Surroundings,
    pub launcher: Launcher,
    /// The system's.
    pub launchers: Launchers,
}

impl Blueprint {
    fn has_zygote(&self) -> bool {
        match &self.executable {
            Some(executable) => executable.zygote().is_some(),
            None => self.launcher == Launcher::Zygote,
        }
    }

    /// What becomes its zygote; `None`: this executable again.
    fn zygote(&self) -> Option<&Executable> {
        self.executable.as_ref().and_then(Executable::zygote)
    }
}

/// What it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A kind of our own.
    Kind { kind: &'static str, protocol: u64 },
    /// Some other program, which speaks no protocol of ours.
    Foreign,
}

/// A child process that exists. It is reaped by [`reap`](Self::reap).
#[derive(Debug)]
pub(crate) struct Launched {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub line: Arc<Line>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Starts an incarnation and sends it its first messages. Must be called from a thread that lives as long as the
/// process: the kernel's parent-death signal fires when the *thread* that started a child ends. What the application has
/// and gives to its children is looked at after `asked_at`.
pub(crate) fn launch(
    blueprint: &Blueprint,
    status: &StatusPage,
    event_credit: Option<u64>,
    asked_at: Instant,
) -> Result<Launched, BoxError> {
    if let What::Kind { kind, .. } = blueprint.what
        && blueprint.has_zygote()
        && let Some(launched) = blueprint.launchers.by_zygote(blueprint, kind, status, event_credit, asked_at)?
    {
        return Ok(launched);
    }
    exec::launch(blueprint, status, event_credit)
}

/// A child's end of what its parent holds.
#[derive(Debug)]
struct Ends {
    line: Socket,
    stdout: PipeWriter,
    stderr: PipeWriter,
}

/// The parent's end of a child that isn't there yet.
#[derive(Debug)]
struct Prepared {
    line: Socket,
    stdout: PipeReader,
    stderr: PipeReader,
}

impl Prepared {
    fn new() -> Result<(Self, Ends), BoxError> {
        let (ours, theirs) = Socket::pair()?;
        let (stdout, stdout_theirs) = io::pipe().map_err(|error| format!("pipe: {error}"))?;
        let (stderr, stderr_theirs) = io::pipe().map_err(|error| format!("pipe: {error}"))?;
        rustix::io::ioctl_fionbio(&stdout, true)?;
        rustix::io::ioctl_fionbio(&stderr, true)?;
        let ends = Ends { line: theirs, stdout: stdout_theirs, stderr: stderr_theirs };
        Ok((Self { line: ours, stdout, stderr }, ends))
    }

    /// Says who the child is. It waits in the socket until the child reads it, so it isn't waited for.
    fn say_hello(&self, blueprint: &Blueprint, status: &StatusPage, event_credit: Option<u64>) -> Result<(), BoxError> {
        let hello = Hello {
            name: blueprint.name.clone(),
            parent: rustix::process::getpid().as_raw_pid(),
            protocol: match blueprint.what {
                What::Kind { protocol, .. } => protocol,
                What::Foreign => 0,
            },
            status: status.writable()?,
            surroundings: blueprint.surroundings.clone(),
            event_credit,
        };
        Ok(self.line.try_send(&Message::encode(Kind::Hello, 0, &hello)?)?)
    }

    /// Gives the child what lets it begin.
    fn say_config(&self, blueprint: &Blueprint) -> Result<(), SendError> {
        self.line.try_send(&Message::wrap(Kind::Config, 0, &blueprint.config))
    }

    fn launched(self, pid: Pid, pidfd: OwnedFd) -> Launched {
        let (stdout, stderr) = (OwnedFd::from(self.stdout), OwnedFd::from(self.stderr));
        Launched { pid, pidfd, line: Line::new(self.line), stdout, stderr }
    }
}

impl Launched {
    /// What tells that it lives or has something to say, in a fixed order.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 4] {
        [self.pidfd.as_fd(), self.line.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()]
    }
}
