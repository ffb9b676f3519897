//! What a process is: its life, and its protocol.

use serde::{Serialize, de::DeserializeOwned};
use shm::wire::{EncodeError, Packet};

use crate::{Context, Handle, Turn};

/// Any error; its text and its sources are told to whoever waits.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The life of a process, as it goes in the child. One thread runs all of it: no two methods at once.
pub trait Process: Sized + 'static {
    /// The kind's name, unique in the [`Program`](crate::Program): it stands in `ps` and in messages.
    const KIND: &'static str;
    /// What it is started with; may hold descriptors ([`shm::wire::Passed`]).
    type Config: Serialize + DeserializeOwned;
    /// What it says unasked ([`Context::emit`]).
    type Event: Serialize + DeserializeOwned;

    /// Makes it ready. Whoever started it waits for this, up to its deadline.
    ///
    /// # Errors
    ///
    /// Anything that keeps it from working; the starter is told.
    fn start(config: Self::Config, cx: &mut Context<Self>) -> Result<Self, BoxError>;

    /// Called before each wait of the event loop, for work that doesn't come as a command: look at rings, and arm
    /// them before [`Turn::Sleep`]. The loop wakes for commands, for [`Context::bell`], and for what is watched.
    ///
    /// # Errors
    ///
    /// What ends the process; its supervisor is told.
    fn turn(&mut self, cx: &mut Context<Self>) -> Result<Turn, BoxError> {
        let _ = cx;
        Ok(Turn::Sleep)
    }

    /// The last thing it does when it was asked to stop. It has as long as its stop was given.
    fn stop(self) {}
}

/// The protocol of a process; [`commands`](crate::commands) writes it.
pub trait Commands: Process {
    /// All that can be asked.
    type Command: Serialize + DeserializeOwned;
    /// How one asks.
    type Handle: From<Handle>;
    /// A number that changes with the signatures; 0 fits any, for a side that dispatches by names.
    const PROTOCOL: u64;

    /// Does what is asked and encodes the answer.
    ///
    /// # Errors
    ///
    /// If the answer has no encoding.
    fn dispatch(&mut self, command: Self::Command, cx: &mut Context<Self>) -> Result<Packet, EncodeError>;
}
