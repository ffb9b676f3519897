//! The other process, seen from both sides.

use std::{
    env, io,
    os::fd::AsFd,
    process::{self, Child, Command, Stdio},
};

use bench::{Outcome, cores::Core};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shm::wire::{Packet, Socket};

use crate::{contender::cpu_ns, rows, watch, ways::iceoryx};

/// Another process of the benchmark; it is killed when this value is dropped, or this process ends.
pub struct Peer {
    control: Socket,
    child: Child,
}

/// What one side of a measurement does in the other process.
pub trait Side {
    /// The other side's part of one turn.
    fn turn(&mut self, control: &Control, count: u32) -> Outcome;
}

/// The other process's line to the one that measures.
pub struct Control(Socket);

/// Take part so many times.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Order {
    core: Core,
    count: u32,
}

impl Peer {
    /// Starts this program again, to play that role.
    pub fn start(role: &rows::Role) -> Outcome<Self> {
        watch::step("start another process");
        // What a thread keeps to, its children inherit.
        Core::ANY.pin()?;
        let (control, theirs) = Socket::pair()?;
        let child = Command::new(env::current_exe()?)
            .args(["--peer", &process::id().to_string()])
            .stdin(Stdio::from(theirs.into_owned()))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("start another process: {error}"))?;
        let peer = Self { control, child };
        peer.tell(role)?;
        Ok(peer)
    }

    /// Says something that the role waits for.
    pub fn tell<T: Serialize>(&self, what: &T) -> Outcome {
        Ok(self.control.send(&Packet::encode(what)?)?)
    }

    /// Hears what the role says.
    pub fn hear<T: DeserializeOwned>(&self) -> Outcome<T> {
        Ok(self.control.receive().map_err(|error| format!("hear of the other process: {error}"))?.decode()?)
    }

    /// Has it begin a turn.
    pub fn begin(&self, core: Core, count: u32) -> Outcome {
        self.tell(&Order { core, count })
    }

    /// Waits for the end of its turn, and gives what it worked, in nanoseconds.
    pub fn end(&self) -> Outcome<u64> {
        self.hear()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may wait for something that won't come; it has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Control {
    pub fn tell<T: Serialize>(&self, what: &T) -> Outcome {
        Ok(self.0.send(&Packet::encode(what)?)?)
    }

    pub fn hear<T: DeserializeOwned>(&self) -> Outcome<T> {
        Ok(self.0.receive()?.decode()?)
    }
}

/// What the other process does: as it is told, until nobody is left to tell it.
pub fn serve(run: u32) -> Outcome {
    iceoryx::belongs_to(run);
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let control = Control(Socket::from_owned(io::stdin().as_fd().try_clone_to_owned()?));
    let mut side = control.hear::<rows::Role>()?.take(&control)?;
    loop {
        let Order { core, count } = control.hear()?;
        core.pin()?;
        let before = cpu_ns();
        side.turn(&control, count)?;
        control.tell(&(cpu_ns() - before))?;
    }
}
