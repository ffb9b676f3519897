//! Processes as an application uses them: real children, real deaths. This program is its own children, so it has a
//! `main` and no test harness. All of it is run twice: with children that are started by exec, and with a zygote's.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod calls;
mod cgroup;
mod changes;
mod deaths;
mod events;
mod executables;
mod far;
mod foreign;
mod groups;
mod handles;
mod heavy;
mod log;
mod orphans;
mod reading;
mod recycling;
#[path = "../runner/mod.rs"]
mod runner;
mod select;
mod stop_order;
mod stops;
mod subject;
mod unresponsive;

use std::process::{Command, ExitCode};

use process::{BoxError, Launcher, Program};
use runner::{LIMIT, Test, wait_until};

/// The variable that makes this program use a zygote.
const BY_ZYGOTE: &str = "FRAMEWIRE_TEST_BY_ZYGOTE";

fn main() -> ExitCode {
    let launcher = if std::env::var_os(BY_ZYGOTE).is_some() { Launcher::Zygote } else { Launcher::Exec };
    let program = Program::new().process::<subject::Subject>().launcher(launcher);
    if std::env::args_os().nth(1).as_deref() == Some(handles::not_text()) {
        return program.run(|_| Ok(()));
    }
    if std::env::args().nth(1).as_deref() == Some(orphans::PARENT) {
        return program.run(orphans::parent);
    }
    if std::env::args().nth(1).as_deref() == Some(orphans::HEIR) {
        return program.run(orphans::heir);
    }
    if std::env::args().nth(1).as_deref() == Some(foreign::FEW) {
        return program.run(foreign::few);
    }
    if std::env::args().nth(1).as_deref() == Some(groups::ESSENTIAL) {
        return program.run(groups::essential);
    }
    if std::env::args().nth(1).as_deref() == Some(stop_order::APPLICATION) {
        let code = program.run(stop_order::application);
        stop_order::finish();
        return code;
    }
    if std::env::args().nth(1).as_deref() == Some(log::APPLICATION) {
        return program.run(log::application);
    }
    if std::env::args().nth(1).as_deref() == Some(cgroup::LOOKING) {
        return program.run(cgroup::application);
    }
    if let (Some(cgroup::APPLICATION), Some(group)) = (std::env::args().nth(1).as_deref(), std::env::args().nth(2)) {
        return program.control_group(group).run(cgroup::application);
    }
    program.run(|system| {
        let all = std::env::args().any(|argument| argument == "--include-ignored");
        let heavy = all || std::env::args().any(|argument| argument == "--ignored");
        let light: &[&[Test]] = &[
            calls::TESTS,
            reading::TESTS,
            deaths::TESTS,
            handles::TESTS,
            foreign::TESTS,
            executables::TESTS,
            events::TESTS,
            select::TESTS,
            groups::TESTS,
            unresponsive::TESTS,
            recycling::TESTS,
            changes::TESTS,
            stop_order::TESTS,
            stops::TESTS,
            cgroup::TESTS,
            orphans::TESTS,
            far::TESTS,
            log::TESTS,
        ];
        let mut tests = Vec::new();
        if all || !heavy {
            tests.extend(light);
        }
        if heavy {
            tests.extend([heavy::TESTS, stop_order::HEAVY]);
        }
        calls::start(system, "warm-up").stop(LIMIT);
        runner::run(system, &tests)?;
        if launcher == Launcher::Exec { once_more_by_zygote() } else { Ok(()) }
    })
}

/// Runs the same tests with a zygote for all children, also for children's children.
fn once_more_by_zygote() -> Result<(), BoxError> {
    println!("by zygote:");
    let again =
        Command::new(std::env::current_exe()?).args(std::env::args_os().skip(1)).env(BY_ZYGOTE, "1").status()?;
    if again.success() { Ok(()) } else { Err("pass all tests with a zygote".into()) }
}
