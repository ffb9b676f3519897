//! The other processes: this program, started again with a role.

use std::{
    env,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Serialize, de::DeserializeOwned};
use shm::{
    crash,
    wire::{Packet, Socket},
};

use crate::{Outcome, chance::Chance, locks, meetings, queue, ring};

/// What another process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    RingReader,
    RingWriter,
    Producer,
    Consumer,
    Hammer,
    Player,
    Party,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::RingReader => "ring-reader",
            Self::RingWriter => "ring-writer",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Hammer => "hammer",
            Self::Player => "player",
            Self::Party => "party",
        }
    }
}

/// Another process, killed with this value.
pub struct Other {
    child: Child,
    /// Open for as long as it lives, at least.
    control: Socket,
}

impl Other {
    /// Starts one. Every second dies by its own hand at some step of the protocols, if nobody kills it before.
    pub fn start(role: Role, part: &impl Serialize, chance: &mut Chance) -> Outcome<Self> {
        /// Most die in the first few operations; some later.
        const STEPS: u64 = 2000;
        let (control, theirs) = Socket::pair()?;
        let child = Command::new(env::current_exe()?)
            .args(["--role", role.name()])
            .stdin(Stdio::from(theirs.into_owned()))
            .spawn()
            .map_err(|error| format!("start another process: {error}"))?;
        let point = if chance.once_in(2) { 1 + chance.below(STEPS) } else { 0 };
        let other = Self { child, control };
        // The point first, alone: to receive the part takes some steps already.
        other.control.send(&Packet::encode(&point)?)?;
        other.control.send(&Packet::encode(part)?)?;
        Ok(other)
    }

    pub fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    /// Kills it.
    pub fn kill(&mut self) -> Outcome {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether it has died by its own hand.
    ///
    /// # Errors
    ///
    /// If it ended in any other way: it has found something wrong, and said so.
    pub fn has_died(&mut self) -> Outcome<bool> {
        match self.child.try_wait()? {
            None => Ok(false),
            Some(status) if status.signal() == Some(9) => Ok(true),
            Some(status) => Err(format!("go on: another process ended with {status}; it has said why").into()),
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does what this process was started for.
pub fn play(role: Role) -> Outcome {
    let control = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned()?);
    match role {
        Role::RingReader => ring::read(begin(&control)?),
        Role::RingWriter => ring::write(begin(&control)?),
        Role::Producer => queue::produce(begin(&control)?),
        Role::Consumer => queue::consume(begin(&control)?),
        Role::Hammer => locks::hammer(begin(&control)?),
        Role::Player => meetings::play(begin(&control)?),
        Role::Party => meetings::meet(begin(&control)?),
    }
}

fn begin<T: DeserializeOwned>(control: &Socket) -> Outcome<T> {
    crash::after(control.receive()?.decode()?);
    Ok(control.receive()?.decode()?)
}

/// Who is done is killed like everybody else.
pub fn wait_to_be_killed() -> Outcome {
    std::thread::sleep(Duration::from_secs(60)); // sleep: until somebody kills us
    Ok(())
}
