//! An application as a service of systemd, with a fake systemd, a fake journal and real deaths. This program is the service,
//! its children, and what starts it, so it has a `main` and no test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod journal;
mod manager;
mod service;
mod signs;
mod store;
mod trouble;
mod units;
mod worker;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use process::{BoxError, Program};

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(30);

type Test = (&'static str, fn());

fn main() -> ExitCode {
    let program = Program::new().process::<worker::Worker>();
    match std::env::args().nth(1).as_deref() {
        Some(manager::TRAMPOLINE) => manager::become_the_service(),
        Some(service::SERVICE) => program.run(service::run),
        // Its children are this program too.
        Some("__process") => program.run(|_| Ok(())),
        _ => match run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("error: could not {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run() -> Result<(), BoxError> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let tests = [signs::TESTS, trouble::TESTS, store::TESTS, journal::TESTS, units::TESTS].concat();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.into_iter().filter(|(name, _)| chosen(name)) {
        let begin = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {} ({:.1} s)", if ok { "ok" } else { "FAILED" }, begin.elapsed().as_secs_f32());
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("pass all tests".into()) }
}

/// Waits for a condition, within the limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::yield_now();
    }
}

/// What the tests say where there is no systemd to be asked.
pub fn skipped(why: &str) {
    println!("     (not tested: {why})");
}
