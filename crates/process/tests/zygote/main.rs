//! Children that are copies of a zygote: what they have, who sees them die, and what happens without one. This program is its
//! own children and its own zygote, so it has a `main` and no test harness. That everything else is the same is shown by
//! `tests/life`, which is run with a zygote too.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod deaths;
mod heavy;
mod made;
mod refused;
mod seen;
mod shared;
mod subject;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use process::{BoxError, Launcher, Program, System};

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(20);

type Test = (&'static str, fn(&System));

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let _other = refused::start_a_thread_if_told(&argument);
    let program = Program::new().process::<subject::Subject>().launcher(Launcher::Zygote);
    match argument.as_str() {
        deaths::APPLICATION => program.run(deaths::application),
        heavy::THOUSAND => heavy::thousand(program),
        refused::REPORT => program.run(refused::report),
        refused::FORBIDDEN => refused::forbidden(program),
        _ => program.run(|system| {
            seen::write_down_the_log();
            let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
            let tests = [made::TESTS, shared::TESTS, deaths::TESTS, refused::TESTS, heavy::TESTS].concat();
            let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
            run(system, tests.into_iter().filter(|(name, _)| chosen(name)))
        }),
    }
}

fn run(system: &System, tests: impl Iterator<Item = Test>) -> Result<(), BoxError> {
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        let begun = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(|| test(system))).is_ok();
        println!("test {name} ... {} ({:.1} s)", if ok { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("pass all tests".into()) }
}

/// Waits for a condition, within the limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}; the log: {}", seen::log());
        std::thread::yield_now();
    }
}
