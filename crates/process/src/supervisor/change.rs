//! Where a process is in its life, and what is told when that changes.

use std::time::Duration;

use crate::Exit;

/// Where a process is in its life.
///
/// ```text
///            ┌────────────── delay ──────────────┐
///            ▼                                   │
///  start ─ Starting ──▶ Ready ──▶ (ends) ──▶ Restarting
///            │            │          │
///            │            ▼          ├──▶ Exited   by policy
///            └─────────▶ Stopping ───┘    Failed   too many restarts, or never became ready
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Started, not ready yet.
    Starting = 1,
    /// At work.
    Ready = 2,
    /// Asked to stop.
    Stopping = 3,
    /// It ended, and waits to be started again.
    Restarting = 4,
    /// It ended and stays so.
    Exited = 5,
    /// It was given up.
    Failed = 6,
}

impl State {
    /// The state that a status page's number stands for.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        use State::*;
        [Starting, Ready, Stopping, Restarting, Exited, Failed].into_iter().find(|state| *state as u64 == number)
    }

    /// As in the HTTP interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Failed => "failed",
        }
    }
}

/// A process has changed its state, or another incarnation does its work.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What it is now.
    pub state: State,
    /// The process identifier of the incarnation that works, while one does.
    pub pid: Option<i32>,
    /// How often it was started again after an end that wasn't planned.
    pub restarts: u64,
    /// How often it was replaced as planned ([`Spawn::recycle`](crate::Spawn::recycle)).
    pub recycled: u64,
    /// How the last incarnation ended, with its last lines of output.
    pub exit: Option<(Exit, Vec<String>)>,
    /// How long until it is started again, or its replacement is tried again.
    pub delay: Option<Duration>,
    /// What happens with its planned replacement, if this is about that.
    pub replacement: Option<Replacement>,
    /// How many earlier changes of this process are in this one, since the reader was slow. Nothing but the states in between
    /// is lost by that: what this one doesn't say of an end or a replacement is taken over from them.
    pub merged: u64,
}

/// What happens with the planned replacement of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replacement {
    /// It is being started, for this reason; its predecessor goes on.
    Starting(Due),
    /// It has taken over; its predecessor finishes what it has begun.
    TookOver,
    /// It didn't become ready, for this reason. Its predecessor goes on, and it is tried again after
    /// [`Change::delay`].
    NotReady(Exit),
    /// It is no longer wanted: its predecessor ended by itself, or is being stopped.
    NotWanted,
    /// It has taken over before, and now its predecessor has ended, so.
    PredecessorEnded(Exit),
}

/// Why a process is replaced as planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Due {
    /// It has answered so many calls.
    Calls(u64),
    /// It has worked for so long.
    Age(Duration),
    /// It has so many bytes of private memory.
    Memory(u64),
}

impl Change {
    /// A process got into a state, and there is nothing more to say of it.
    pub(crate) fn of(name: String, state: State) -> Self {
        let (pid, exit, delay, replacement) = (None, None, None, None);
        Self { name, state, pid, restarts: 0, recycled: 0, exit, delay, replacement, merged: 0 }
    }

    /// Takes in an older one of the same process.
    pub(crate) fn take_in(&mut self, older: Self) {
        self.merged += older.merged + 1;
        self.exit = self.exit.take().or(older.exit);
        self.replacement = self.replacement.take().or(older.replacement);
    }
}
