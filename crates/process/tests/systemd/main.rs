//! An application as a service of systemd, with a fake systemd, a fake journal and real deaths. This program is the service,
//! its children, and what starts it, so it has a `main` and no test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

#[path = "../runner/each.rs"]
mod each;
mod journal;
mod manager;
mod service;
mod signs;
mod store;
mod trouble;
mod units;
mod worker;

use std::process::ExitCode;

use each::{LIMIT, each, wait_until};
use process::Program;

type Test = (&'static str, fn());

const TESTS: &[&[Test]] = &[signs::TESTS, trouble::TESTS, store::TESTS, journal::TESTS, units::TESTS];

fn main() -> ExitCode {
    let program = Program::new().process::<worker::Worker>();
    match std::env::args().nth(1).as_deref() {
        Some(manager::TRAMPOLINE) => manager::become_the_service(),
        Some(service::SERVICE) => program.run(service::run),
        // Its children are this program too.
        Some("__process") => program.run(|_| Ok(())),
        _ => match each(TESTS, |test| test()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("error: could not {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// What the tests say where there is no systemd to be asked.
pub fn skipped(why: &str) {
    println!("     (not tested: {why})");
}
