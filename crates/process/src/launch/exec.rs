//! The executable is started anew, with its line to the parent as descriptor 0.

use std::{
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use shm::{status::StatusPage, wire::Socket};

use super::{Blueprint, Ends, Launched, Prepared, What};
use crate::{
    BoxError,
    foreign::FOREIGN,
    program::{CHILD, TITLE},
    systemd,
};

pub(super) fn launch(
    blueprint: &Blueprint,
    status: &StatusPage,
    event_credit: Option<u64>,
) -> Result<Launched, BoxError> {
    let (prepared, Ends { line, stdout, stderr }) = Prepared::new()?;
    prepared.say_hello(blueprint, status, event_credit)?;
    prepared.say_config(blueprint)?;
    let mut command = match &blueprint.executable {
        Some(executable) => with_line(executable.command(), line),
        None => ourselves(line),
    };
    match blueprint.what {
        What::Kind { kind, .. } => command.args([CHILD, kind]),
        What::Foreign => command.args([FOREIGN, "program"]),
    };
    command.arg(&blueprint.name).stdout(stdout).stderr(stderr);
    if !blueprint.has_our_environment {
        command.env_clear();
    }
    for (name, value) in &blueprint.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = &blueprint.folder {
        command.current_dir(folder);
    }
    let child = command.spawn().map_err(|error| {
        let program = blueprint.executable.as_ref().map(|executable| executable.program().display());
        match (program, &blueprint.folder) {
            (Some(program), _) => format!("run {program}: {error}"),
            (None, Some(folder)) => format!("{error} (its working folder is to be {})", folder.display()),
            (None, None) => error.to_string(),
        }
    })?;
    let (pid, pidfd) = identify(child)?;
    Ok(prepared.launched(pid, pidfd))
}

/// The command that starts this program once more, with this socket as its standard input.
pub(super) fn ourselves(line: Socket) -> Command {
    // The link, not its target: it leads to this very program also after the file was replaced by a newer one.
    let mut command = Command::new("/proc/self/exe");
    command.arg0(TITLE);
    with_line(command, line)
}

pub(super) fn with_line(mut command: Command, line: Socket) -> Command {
    // A group of its own: a terminal's Ctrl-C reaches the supervisor alone, and grandchildren can be found.
    command.process_group(0).stdin(Stdio::from(line.into_owned()));
    systemd::VARIABLES.iter().for_each(|name| _ = command.env_remove(name));
    command
}

/// Who that child is.
pub(super) fn identify(mut child: Child) -> Result<(Pid, OwnedFd), BoxError> {
    let pid = Pid::from_child(&child);
    // Nobody else reaps this child, so its number is still its own here, even if it has died already.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    Ok((pid, pidfd))
}
