//! In place of the test harness, for test programs that are their own children and so have a `main`. After each test nothing
//! may be left of it: no process, no thread, no descriptor.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use process::{BoxError, System};

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(20);

/// No test takes so long unless something hangs, which is what most of them are about.
const HANGS: Duration = Duration::from_secs(150);

pub type Test = (&'static str, fn(&System));

/// Runs the tests whose names contain one of the program's arguments; all, if there is none.
pub fn run(system: &System, tests: &[&[Test]]) -> Result<(), BoxError> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    let now = watch();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.concat().into_iter().filter(|(name, _)| chosen(name)) {
        system.stop(&[], LIMIT); // the supervisor has heard of the end of what was before
        *now.lock().unwrap() = Some((name, Instant::now()));
        let (before, begun) = (Left::now(), Instant::now());
        let ok = catch_unwind(AssertUnwindSafe(|| {
            test(system);
            wait_until(&format!("nothing is left; before: {before:?}"), || Left::now().is_within(before));
        }));
        *now.lock().unwrap() = None;
        let ok = ok.is_ok();
        println!("test {name} ... {} ({:.1} s)", if ok { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("pass all tests".into()) }
}

/// Ends the program, and names the test, if one hangs.
fn watch() -> Arc<Mutex<Option<(&'static str, Instant)>>> {
    let now = Arc::new(Mutex::new(None));
    let watched = now.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1)); // sleep: a watch has nothing to wait for but time
            if let Some((name, begun)) = *watched.lock().unwrap()
                && Instant::duration_since(&Instant::now(), begun) > HANGS
            {
                println!("test {name} ... HANGS");
                std::process::exit(1);
            }
        }
    });
    now
}

/// What a test could leave behind.
#[derive(Clone, Copy, Debug)]
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

    fn is_within(self, before: Self) -> bool {
        self.descriptors <= before.descriptors && self.threads <= before.threads && self.children <= before.children
    }
}

/// All child processes, also those that have ended and wait to be reaped.
pub fn children() -> Vec<i32> {
    let parent = std::process::id().to_string();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|pid| stat(*pid, 1).is_some_and(|of| of == parent)).collect()
}

/// A field of `/proc/PID/stat` after the name: 0 is the state, 1 the parent, 2 the process group. `None` if it is gone.
pub fn stat(pid: i32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything.
    stat.rsplit(')').next()?.split_whitespace().nth(field).map(str::to_owned)
}

/// Whether it has ended; somebody may still have to take its status.
pub fn is_gone(pid: i32) -> bool {
    stat(pid, 0).is_none_or(|state| ["Z", "X"].contains(&state.as_str()))
}

/// Waits for a condition, within the limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}; now: {:?}", Left::now());
        thread::yield_now();
    }
}
