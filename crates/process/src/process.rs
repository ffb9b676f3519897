//! What a process is: its life, and its protocol.

use serde::{Serialize, de::DeserializeOwned};
use shm::wire::{EncodeError, Packet};

use crate::{Context, Handle, Shared, Turn, child::Begun};

/// Any error; its text and its sources are told to whoever waits.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The life of a process, as it goes in the child. One thread runs all of it: no two methods at once. Its `async` commands
/// are on that thread too, and take turns where they await ([`Shared`]).
pub trait Process: Sized + 'static {
    /// The kind's name, unique in the [`Program`](crate::Program): it stands in `ps` and in messages.
    const KIND: &'static str;
    /// What it is started with; may hold descriptors ([`shm::wire::Passed`]).
    type Config: Serialize + DeserializeOwned;
    /// What it says unasked ([`Context::emit`]).
    type Event: Serialize + DeserializeOwned;
    /// How many of its `async` commands run at once, at least 1. Calls beyond that wait in the child, in order, and plain
    /// commands go past them; beyond 4,096 that wait, further ones are refused.
    const CONCURRENT_CALLS: usize = 64;

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

    /// The last thing it does when it was asked to stop, whatever it had to do just then (unless a handler doesn't return).
    /// It has nearly as long as its stop was given: after seven eighths comes SIGTERM, at the end SIGKILL. Processes that
    /// this one has started ([`Context::system`]) are stopped after it, in what it leaves of that time.
    ///
    /// By then no call is taken any more, and none runs. Calls that had come before the stop, and `async` commands that ran,
    /// had a quarter of the grace; those that weren't done by then were dropped, and whoever called hears of the process's
    /// end.
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

    /// Does what is asked and encodes the answer, or begins it.
    fn dispatch(this: &Shared<Self>, command: Self::Command) -> Dispatched;
}

/// What came of a command.
pub enum Dispatched {
    /// Its answer.
    Done(Result<Packet, EncodeError>),
    /// It goes on when this is polled; until then it has done nothing.
    Begun(Begun),
}

impl std::fmt::Debug for Dispatched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done",
            Self::Begun(_) => "Begun",
        })
    }
}
