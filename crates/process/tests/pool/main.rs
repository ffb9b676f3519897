//! Pools as an application uses them: real workers, real deaths. This program is its own workers, so it has a `main` and no
//! test harness. After each test nothing may be left of it: no process, no thread, no descriptor.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod ends;
mod kills;
mod python;
mod starts;
mod subject;
mod tasks;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

use process::{BoxError, Program, System};

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(30);

type Test = (&'static str, fn(&System));

fn main() -> ExitCode {
    Program::new().process::<subject::Subject>().run(|system| {
        let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
        let tests = [python::TESTS, tasks::TESTS, starts::TESTS, ends::TESTS, kills::TESTS].concat();
        let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
        run(system, tests.into_iter().filter(|(name, _)| chosen(name)))
    })
}

fn run(system: &System, tests: impl Iterator<Item = Test>) -> Result<(), BoxError> {
    let (mut passed, mut failed) = (0, 0);
    // What a first pool leaves (lazily opened descriptors) it leaves once.
    drop(subject::pool(system, 2));
    for (name, test) in tests {
        system.stop(&[], LIMIT); // the supervisor has heard of the end of what was before
        let (before, begun) = (Left::now(), Instant::now());
        let ok = catch_unwind(AssertUnwindSafe(|| {
            test(system);
            wait_until(&format!("nothing is left; before: {before:?}"), || Left::now() == before);
        }));
        let ok = ok.is_ok();
        println!("test {name} ... {} ({:.1} s)", if ok { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("pass all tests".into()) }
}

/// What a test could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    descriptors: usize,
    threads: usize,
    children: usize,
}

impl Left {
    fn now() -> Self {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        Self { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task"), children: children().len() }
    }
}

/// All child processes, also those that have ended and wait to be reaped.
pub fn children() -> Vec<i32> {
    let parent = std::process::id().to_string();
    let is_ours = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may hold anything: state, then the parent.
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)) == Some(&parent)
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(is_ours).collect()
}

/// Waits for a condition, within the limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}; now: {:?}", Left::now());
        std::thread::yield_now();
    }
}
