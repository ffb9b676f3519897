//! Children that are copies of a zygote: what they have, who sees them die, and what happens without one. This program is its
//! own children and its own zygote, so it has a `main` and no test harness. That everything else is the same is shown by
//! `tests/life`, which is run with a zygote too.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod deaths;
mod heavy;
mod made;
mod refused;
#[path = "../runner/mod.rs"]
mod runner;
mod seen;
mod shared;
mod subject;

use std::process::ExitCode;

use process::{Launcher, Program};
use runner::{LIMIT, Test, wait_until};

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
            seen::start(system, "warm-up").stop(LIMIT);
            shared::warm_up();
            runner::run(system, &[made::TESTS, shared::TESTS, deaths::TESTS, refused::TESTS, heavy::TESTS])
        }),
    }
}
