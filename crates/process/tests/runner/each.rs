//! Runs one test after the other, and ends the program if one hangs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use process::BoxError;

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(30);

/// No test takes so long unless something hangs, which is what most of them are about.
const HANGS: Duration = Duration::from_secs(150);

/// Runs the tests whose names contain one of the program's arguments; all, if there is none.
pub fn each<T: Copy>(tests: &[&[(&'static str, T)]], run: impl Fn(T)) -> Result<(), BoxError> {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    let now = watch();
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.concat().into_iter().filter(|(name, _)| chosen(name)) {
        let begun = Instant::now();
        *now.lock().unwrap() = Some((name, begun));
        let ok = catch_unwind(AssertUnwindSafe(|| run(test))).is_ok();
        *now.lock().unwrap() = None;
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
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        thread::yield_now();
    }
}

/// Ends the program, and names the test, if one hangs.
fn watch() -> Arc<Mutex<Option<(&'static str, Instant)>>> {
    let now: Arc<Mutex<Option<(&'static str, Instant)>>> = Arc::default();
    let watched = now.clone();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_secs(1)); // sleep: a watch has nothing to wait for but time
            if let Some((name, begun)) = *watched.lock().unwrap()
                && begun.elapsed() > HANGS
            {
                println!("test {name} ... HANGS");
                std::process::exit(1);
            }
        }
    });
    now
}
