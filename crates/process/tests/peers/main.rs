//! What other libraries do when a worker is killed (the last table of the plan: they hang, lose everything, or live on), and
//! what ours does: it answers within 100 ms. Each row is a test, named in `docs/design/processes.md`. This program is its
//! own children, so it has a `main` and no test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod calls;
mod guards;
mod locks;
mod pools;
mod queues;
mod rounds;
#[path = "../runner/mod.rs"]
mod runner;
mod starts;
mod subject;

use std::process::ExitCode;

use process::Program;

fn main() -> ExitCode {
    starts::die_if_told();
    let program = Program::new().process::<subject::Subject>().process::<guards::Guarded>();
    if std::env::args().nth(1).as_deref() == Some(guards::PARENT) {
        return program.run(guards::parent);
    }
    program.run(|system| {
        rounds::warm_up(system);
        runner::run(system, &[pools::TESTS, locks::TESTS, queues::TESTS, calls::TESTS, starts::TESTS, guards::TESTS])
    })
}
