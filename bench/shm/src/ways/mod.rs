//! The ways to hand bytes from one process to others.

pub mod iceoryx;
mod ipc;
mod ring;
mod unix;

use bench::Outcome;
use serde::{Deserialize, Serialize};

use crate::raw;

/// A way, by who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Ours.
    Ring,
    /// Plain shared memory and an eventfd: what the machine can do at best.
    Raw,
    Iceoryx,
    /// And with the newest payload kept for late comers, as in a ring.
    IceoryxKeeping,
    IpcChannel,
    UnixSocket,
}

/// What leads from one writer to its readers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Lane {
    pub way: Way,
    /// The largest payload.
    pub bytes: usize,
    pub readers: usize,
    pub wait: Wait,
}

/// What a reader does while there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    Asleep,
    Spinning,
}

/// The writing end of a lane.
pub trait Writes {
    /// Lets all readers in, who have opened their tickets by now.
    fn ready(&mut self) -> Outcome {
        Ok(())
    }
    /// Copies the payload to where the readers find it, and wakes them.
    fn write(&mut self, payload: &[u8]) -> Outcome;
}

/// A reading end of a lane.
pub trait Reads {
    /// Waits for the next payload and lets `look` see it.
    fn read(&mut self, look: &mut dyn FnMut(&[u8])) -> Outcome;
}

/// A reading end on its way to the reader's process.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ticket {
    Ring(ring::Ticket),
    Raw(raw::Ticket),
    Iceoryx(iceoryx::Ticket),
    IpcChannel(ipc::Ticket),
    UnixSocket(unix::Ticket),
}

/// A writer, and a ticket for each of its readers.
pub type Ends = (Box<dyn Writes>, Vec<Ticket>);

impl Way {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "framewire",
            Self::Raw => "raw-memory",
            Self::Iceoryx => "iceoryx2",
            Self::IceoryxKeeping => "iceoryx2-history-1",
            Self::IpcChannel => "ipc-channel",
            Self::UnixSocket => "unix-socket",
        }
    }
}

impl Lane {
    pub fn new(way: Way, bytes: usize, wait: Wait) -> Self {
        Self { way, bytes, readers: 1, wait }
    }

    /// Makes the writing end, here.
    pub fn open(&self) -> Outcome<Ends> {
        match self.way {
            Way::Ring => ring::open(self),
            Way::Raw => raw::open(self),
            Way::Iceoryx | Way::IceoryxKeeping => iceoryx::open(self),
            Way::IpcChannel => ipc::open(self),
            Way::UnixSocket => unix::open(self),
        }
    }
}

impl Ticket {
    /// Makes the reading end, here.
    pub fn open(self, lane: &Lane) -> Outcome<Box<dyn Reads>> {
        Ok(match self {
            Self::Ring(ticket) => Box::new(ticket.open(lane)?),
            Self::Raw(ticket) => Box::new(ticket.open(lane)?),
            Self::Iceoryx(ticket) => Box::new(ticket.open(lane)?),
            Self::IpcChannel(ticket) => Box::new(ticket.open()?),
            Self::UnixSocket(ticket) => Box::new(ticket.open(lane)?),
        })
    }
}
