//! Programs that aren't ours, under the same supervision: this executable starts, takes the surroundings, and becomes
//! them. So they too have their limits from their first instruction and die with their supervisor's thread, with no code
//! between a fork and an exec.

use std::{
    ffi::OsString,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        process::CommandExt,
    },
    process::{Command, ExitCode},
};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use shm::wire::{EncodeError, Packet};

use crate::{
    BoxError, child,
    message::{Hello, Kind},
};

/// How such a start is told from the application: its first argument.
pub(crate) const FOREIGN: &str = "__foreign";

/// What a shell says of a program that it can't run.
const CANNOT_RUN: u8 = 127;

/// Stands for "a program that isn't ours" in [`Spawn`](crate::Spawn).
#[derive(Debug)]
pub enum Foreign {}

/// What to run. Neither program nor arguments need be text.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    program: Vec<u8>,
    arguments: Vec<Vec<u8>>,
}

pub(crate) fn encode(command: &Command) -> Result<Packet, EncodeError> {
    let bytes = |text: &std::ffi::OsStr| text.as_bytes().to_vec();
    Packet::encode(&Line { program: bytes(command.get_program()), arguments: command.get_args().map(bytes).collect() })
}

/// Becomes what the parent says. Its line closes as that happens; before, it says why it can't.
pub(crate) fn become_it() -> ExitCode {
    let line = match child::Line::take_over_stdin() {
        Ok(line) => line,
        Err(error) => {
            eprintln!("error: could not start a program: {error}; it is started by framewire, not by hand");
            return ExitCode::FAILURE;
        }
    };
    let error = prepare(&line).map(|mut command| {
        line.say_surely(Kind::Ready, &());
        // Nothing but this thread exists here, so there is nothing to clean up before.
        let source = command.exec();
        format!("run {}: {source}", command.get_program().to_string_lossy())
    });
    let (Ok(why) | Err(why)) = error.map_err(|error| error.to_string());
    line.say_surely(Kind::Failed, &why);
    ExitCode::from(CANNOT_RUN)
}

fn prepare(line: &child::Line) -> Result<Command, BoxError> {
    // It stays across exec, unless the program is set-uid.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let hello: Hello = child::expect(line, Kind::Hello)?.read()?;
    if getppid().map(Pid::as_raw_pid) != Some(hello.parent) {
        return Err("start: whoever started this process is gone already".into());
    }
    hello.surroundings.take()?;
    let what: Line = child::expect(line, Kind::Config)?.read()?;
    let mut command = Command::new(OsString::from_vec(what.program));
    command.args(what.arguments.into_iter().map(OsString::from_vec));
    Ok(command)
}
