//! How a child comes to be: this executable again, with its line to the parent as descriptor 0.

use std::{
    ffi::OsString,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shm::{
    status::StatusPage,
    wire::{Packet, Socket},
};

use crate::{
    BoxError, foreign,
    message::{Hello, Kind, Message},
    program::CHILD,
    surroundings::Surroundings,
    systemd,
};

/// What doesn't change from one incarnation to the next.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub name: String,
    pub what: What,
    /// For a kind its own; for a foreign program a [`foreign::Line`].
    pub config: Packet,
    /// Variables to set, or to take away.
    pub environment: Vec<(OsString, Option<OsString>)>,
    pub folder: Option<PathBuf>,
    pub surroundings: Surroundings,
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
    pub socket: Arc<Socket>,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Starts an incarnation and sends it its first messages. Must be called from a thread that lives as long as the
/// process: the kernel's parent-death signal fires when the *thread* that started a child ends.
pub(crate) fn launch(
    blueprint: &Blueprint,
    status: &StatusPage,
    event_credit: Option<u64>,
) -> Result<Launched, BoxError> {
    let (ours, theirs) = Socket::pair()?;
    let (first, protocol) = match blueprint.what {
        What::Kind { kind, protocol } => ([CHILD, kind], protocol),
        What::Foreign => ([foreign::FOREIGN, "program"], 0),
    };
    let hello = Hello {
        name: blueprint.name.clone(),
        parent: rustix::process::getpid().as_raw_pid(),
        protocol,
        status: status.writable()?,
        surroundings: blueprint.surroundings.clone(),
        event_credit,
    };
    // They wait in the socket until the child reads: sent before it exists, they can't be waited for.
    ours.try_send(&Message::encode(Kind::Hello, 0, &hello)?)?;
    ours.try_send(&Message::wrap(Kind::Config, 0, blueprint.config.clone()))?;
    // The link, not its target: it leads to this very program also after the file was replaced by a newer one.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("framewire")
        .args(first)
        .arg(&blueprint.name)
        // A group of its own: a terminal's Ctrl-C reaches the supervisor alone, and grandchildren can be found.
        .process_group(0)
        .stdin(Stdio::from(theirs.into_owned()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    systemd::VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    for (name, value) in &blueprint.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = &blueprint.folder {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(|error| match &blueprint.folder {
        Some(folder) => format!("{error} (its working folder is to be {})", folder.display()),
        None => error.to_string(),
    })?;
    let pid = Pid::from_child(&child);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("a child without pipes").into());
    };
    // Nobody else reaps this child, so its number is still its own here, even if it has died already.
    let opened = rustix::io::ioctl_fionbio(&stdout, true)
        .and_then(|()| rustix::io::ioctl_fionbio(&stderr, true))
        .and_then(|()| pidfd_open(pid, PidfdFlags::empty()));
    let pidfd = opened.inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    let (stdout, stderr) = (OwnedFd::from(stdout), OwnedFd::from(stderr));
    Ok(Launched { pid, pidfd, socket: Arc::new(ours), stdout, stderr })
}

impl Launched {
    /// What tells that it lives or has something to say, in a fixed order.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 4] {
        [self.pidfd.as_fd(), self.socket.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()]
    }
}
