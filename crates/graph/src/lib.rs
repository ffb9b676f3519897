//! Blocks with typed ports, and the wires between them.
//!
//! A [`Block`] is a process that takes frames at its inputs and gives frames at its outputs. A [`Graph`] says which
//! blocks there are and which output feeds which input; the [`Runtime`] starts them, consumers first, and joins
//! a wire anew whenever the process at either of its ends has come back. The supervisor brokers each joint: it makes a
//! socket pair and hands one end to each side. It never touches a frame.
//!
//! Whether the ends of a wire fit is checked by the compiler: ports are constants with the type of what they carry.
#![forbid(unsafe_code)]

mod block;
mod build;
mod complaints;
mod host;
mod input;
mod output;
mod port;
mod rejoin;
mod runtime;

pub use self::{
    block::{Arrived, Block, BlockContext},
    build::{Graph, Node},
    host::{BlockHost, BlockHostCommand, BlockHostHandle, Said},
    output::{Output, OutputSlot},
    port::{InputPort, OutputPort, Payload},
    runtime::{Heard, Runtime},
};

/// What blocks need of the crates below, so that these stay an affair of this one.
pub use process::{BoxError, Change, Executable, Exit, Restart, Spawn, StartError, State, System};
pub use shm::{
    clock::monotonic_ns,
    ring::{Frame, Info, Policy, RingError, RingOptions, Wish},
    status::{Number, StatusPage, StatusView, Text},
    wire::Passed,
};
