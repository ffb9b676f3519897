//! The scenarios of CPython's `_test_multiprocessing.py`, where names mean the same here as there; each names its model. Which
//! of them is tested where stands in `docs/design/processes.md`. This program is its own children, so it has a `main` and no
//! test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod crowds;
mod ends;
mod numbers;
mod pools;
#[path = "../runner/mod.rs"]
mod runner;
mod subject;

use std::process::ExitCode;

use process::Program;

fn main() -> ExitCode {
    let program = Program::new().process::<subject::Subject>();
    if std::env::args().nth(1).as_deref() == Some(crowds::CROWD) {
        return program.run(crowds::crowd);
    }
    program.run(|system| {
        subject::start(system, "warm-up").stop(runner::LIMIT);
        drop(pools::pool(system, 1));
        runner::run(system, &[ends::TESTS, crowds::TESTS, numbers::TESTS, pools::TESTS])
    })
}
