//! Pools as an application uses them: real workers, real deaths. This program is its own workers, so it has a `main` and no
//! test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod ends;
mod kills;
mod python;
#[path = "../runner/mod.rs"]
mod runner;
mod starts;
mod subject;
mod tasks;

use std::process::ExitCode;

use process::Program;
use runner::{LIMIT, Test, children, wait_until};

fn main() -> ExitCode {
    Program::new().process::<subject::Subject>().run(|system| {
        // What a first pool leaves (lazily opened descriptors) it leaves once.
        drop(subject::pool(system, 2));
        runner::run(system, &[python::TESTS, tasks::TESTS, starts::TESTS, ends::TESTS, kills::TESTS])
    })
}
