//! The `framewire` program: the table of every process that it can become, and the command line.
#![forbid(unsafe_code)]

mod analysers;
mod command_line;
mod http;
mod install;
mod plan;
mod printer;
mod python;
mod secrets;
mod terminal;

use std::process::ExitCode;

use blocks::{Camera, Decoder, FakeCamera, Motion};
use graph::BlockHost;
use process::Program;

use crate::http::Server;

fn main() -> ExitCode {
    Program::new()
        .process::<BlockHost<Camera>>()
        .process::<BlockHost<Decoder>>()
        .process::<BlockHost<FakeCamera>>()
        .process::<BlockHost<Motion>>()
        .process::<BlockHost<Server>>()
        .run(command_line::obey)
}
