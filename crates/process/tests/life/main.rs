//! Processes as an application uses them: real children, real deaths. This program is its own children, so it has a
//! `main` and no test harness. All of it is run twice: with children that are started by exec, and with a zygote's.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod calls;
mod cgroup;
mod changes;
mod deaths;
mod events;
mod executables;
mod foreign;
mod groups;
mod handles;
mod heavy;
mod orphans;
mod reading;
mod recycling;
mod select;
mod stop_order;
mod subject;
mod unresponsive;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use process::{BoxError, Launcher, Program, System};

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(20);

/// The variable that makes this program use a zygote.
const BY_ZYGOTE: &str = "FRAMEWIRE_TEST_BY_ZYGOTE";

type Test = (&'static str, fn(&System));

fn main() -> ExitCode {
    let launcher = if std::env::var_os(BY_ZYGOTE).is_some() { Launcher::Zygote } else { Launcher::Exec };
    let program = Program::new().process::<subject::Subject>().launcher(launcher);
    if std::env::args().nth(1).as_deref() == Some(orphans::PARENT) {
        return program.run(orphans::parent);
    }
    if std::env::args().nth(1).as_deref() == Some(groups::ESSENTIAL) {
        return program.run(groups::essential);
    }
    if std::env::args().nth(1).as_deref() == Some(stop_order::APPLICATION) {
        let code = program.run(stop_order::application);
        stop_order::finish();
        return code;
    }
    if std::env::args().nth(1).as_deref() == Some(cgroup::LOOKING) {
        return program.run(cgroup::application);
    }
    if let (Some(cgroup::APPLICATION), Some(group)) = (std::env::args().nth(1).as_deref(), std::env::args().nth(2)) {
        return program.control_group(group).run(cgroup::application);
    }
    program.run(|system| {
        let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
        let all = std::env::args().any(|argument| argument == "--include-ignored");
        let heavy = all || std::env::args().any(|argument| argument == "--ignored");
        let light = [
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
            cgroup::TESTS,
            orphans::TESTS,
        ]
        .concat();
        let light = light.into_iter().filter(|_| all || !heavy);
        let tests: Vec<Test> =
            light.chain(heavy::TESTS.iter().chain(stop_order::HEAVY).copied().filter(|_| heavy)).collect();
        let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
        run(system, tests.into_iter().filter(|(name, _)| chosen(name)))?;
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

fn run(system: &System, tests: impl Iterator<Item = Test>) -> Result<(), BoxError> {
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        let ok = catch_unwind(AssertUnwindSafe(|| test(system))).is_ok();
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
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
