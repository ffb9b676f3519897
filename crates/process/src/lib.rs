//! Message processes: isolated children with typed commands, events, a start and a stop, under a supervisor.
//!
//! A process is a type with a [`Process`] impl (its life) and a [`commands`] block (its protocol). The executable is
//! started again for each: [`Program`] is the table of what it can become, and stands in `main`. Every call ends, in
//! an answer, an error, a timeout, or the news that the process died and how.
//!
//! ```no_run
//! use process::{BoxError, Context, Process, Program, Restart, System, commands};
//!
//! /// Counts.
//! struct Counter(u64);
//!
//! impl Process for Counter {
//!     const KIND: &'static str = "counter";
//!     type Config = u64;
//!     type Event = ();
//!     fn start(first: u64, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
//!         Ok(Self(first))
//!     }
//! }
//!
//! #[commands]
//! impl Counter {
//!     /// Adds, and says what that makes.
//!     pub fn add(&mut self, more: u64) -> u64 {
//!         self.0 += more;
//!         self.0
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Program::new().process::<Counter>().run(app)
//! }
//!
//! fn app(system: &System) -> Result<(), BoxError> {
//!     let counter = system.spawn::<Counter>(40).restart(Restart::on_failure()).start()?;
//!     assert_eq!(counter.add(2).wait()?, 42);
//!     Ok(())
//! }
//! ```
//!
//! A command that waits for something else (a server, another process, a timer) is an `async fn`, and many of them run in
//! one process at once: see [`Shared`].
//!
//! # Examples to read, in this order
//!
//! Each is a program of its own in `examples/`, about one thing: `cargo run -p framewire-process --example ping`.
//!
//! | example | what it teaches |
//! |---|---|
//! | `ping` | a process, a command, an answer |
//! | `ping_and_wait` | every way to wait for an answer and for an end: with a limit, cancelled, killed |
//! | `ping_pong` | structured arguments and results, the handler's own errors, events, panics |
//! | `shared_array` | numbers that several processes write, and one of them dies in the middle |
//! | `shared_resource` | something large, lent on demand without a copy; a command with a descriptor in it |
//! | `async_calls` | commands that wait for something else, many at once |
//! | `manager` | one thread that waits for many workers, a socket, a clock and the order to stop ([`Select`]) |
//! | `supervised_service` | restarts, groups, limits, one that hangs, and a program that isn't ours |
//! | `pool` | many tasks, with a progress bar, while a worker is killed |
//!
//! This crate has never heard of a frame.

#![forbid(unsafe_code)]

mod answer;
mod call;
mod cgroup;
mod changes;
mod child;
mod connection;
mod events;
mod executable;
mod exit;
mod far;
mod foreign;
mod grace;
mod group;
mod handle;
mod launch;
mod line;
mod logs;
mod memory_limit;
mod message;
pub mod pool;
mod process;
mod program;
mod reap;
mod recycle;
mod restart;
mod select;
mod spawn;
mod spin;
mod supervisor;
mod surroundings;
mod system;
pub mod systemd;
mod wakers;
mod word;

pub use self::{
    call::{Call, CallError, CallFuture, DuringRestart},
    changes::{Changes, ChangesIter, NextChange},
    child::{Context, Shared, Turn, Voice, Watch},
    events::{EventFuture, Events, Overflow},
    executable::Executable,
    exit::Exit,
    foreign::Foreign,
    group::{Group, NewGroup, Strategy},
    handle::{Ended, Handle},
    launch::{Launcher, zygote::host::Host},
    message::Failure,
    pool::Pool,
    process::{BoxError, Commands, Process},
    program::Program,
    recycle::Recycle,
    restart::Restart,
    select::{Asked, Key, Select, SelectError, Stopper},
    spawn::{Spawn, StartError, Starting},
    supervisor::{Change, Due, Replacement, State},
    surroundings::Limit,
    system::System,
};

/// Many bytes as a field of a message, copied once; descriptors as fields.
pub use shm::wire::{Blob, Passed};

/// Writes, for an inherent `impl` block, the enum of its public methods (`NAMECommand`), the dispatcher
/// ([`Commands`]) and the typed handle (`NAMEHandle`), whose methods give a [`Call`]. Private methods stay what they
/// are. A parameter `cx: &mut Context<Self>` doesn't travel: it is the child's own. A command can't have the name of a method that
/// every [`Handle`] has, such as `stop`. One that has a `#[cfg]` is there where that holds.
///
/// A command may be `async`. It has `this: Shared<Self>` in place of `&mut self` and `cx`, since others run where it
/// awaits: see [`Shared`], with an example. Its futures may be of any runtime, or of none.
pub use process_macros::commands;

/// What `#[commands]` writes refers to these.
#[doc(hidden)]
pub mod macro_support {
    pub use serde::{self, Deserialize, Serialize};
    pub use shm::wire::Packet;

    pub use crate::{
        logs::{PYTHON, Record, finish as finish_log, relayed},
        process::Dispatched,
    };
}
