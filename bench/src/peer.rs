//! The other process, seen from both sides.

use std::{
    env,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
};

use framewire_bench::{Outcome, cores::Core, doorbells::Doorbells};
use serde::{Deserialize, Serialize};
use shm::wire::{Packet, Socket};

use crate::{
    frame,
    rings::{Ends, Sessions},
    wake,
};

/// The reader's process, and all that leads to it.
pub struct Peer {
    pub rings: Ends,
    pub bells: Doorbells,
    control: Socket,
    child: Child,
}

/// What the other process shall take part in, so many times.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Order {
    Pin(Core),
    RawWakes(u32),
    RingWakes(u32),
    Frames(u32),
}

#[derive(Serialize, Deserialize)]
struct Setup {
    bells: Doorbells,
    sessions: Sessions,
}

impl Peer {
    /// Starts this program again as the reader, and joins the rings.
    pub fn start(depth: u32) -> Outcome<Self> {
        let (control, theirs) = Socket::pair()?;
        let child = Command::new(env::current_exe()?)
            .arg("--peer")
            .stdin(Stdio::from(theirs.into_owned()))
            .spawn()
            .map_err(|error| format!("start the other process: {error}"))?;
        let bells = Doorbells::new()?;
        let (rings, sessions) = Ends::of_writer(depth)?;
        // From here on a failure ends the child, too: `Drop` sees to it.
        let peer = Self { rings, bells, control, child };
        peer.control.send(&Packet::encode(&Setup { bells: peer.bells.copy(), sessions })?)?;
        peer.control.receive()?.decode::<()>()?; // it has asked to join
        peer.rings.writer.port().service();
        Ok(peer)
    }

    /// Has it take part.
    pub fn order(&self, order: Order) -> Outcome {
        Ok(self.control.send(&Packet::encode(&order)?)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may wait for something that won't come; it has nothing to lose.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does: as it is told, until nobody is left to tell it.
pub fn serve() -> Outcome {
    let control = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned()?);
    let Setup { bells, sessions } = control.receive()?.decode()?;
    let mut rings = Ends::of_reader(sessions)?;
    control.send(&Packet::encode(&())?)?;
    loop {
        match control.receive()?.decode()? {
            Order::Pin(core) => core.pin()?,
            Order::RawWakes(count) => wake::answer_raw(&bells, count)?,
            Order::RingWakes(count) => wake::answer_ring(&mut rings, count)?,
            Order::Frames(count) => frame::answer(&mut rings, count)?,
        }
    }
}
