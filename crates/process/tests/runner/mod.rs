//! In place of the test harness, for test programs that are their own children and so have a `main`. After each test nothing
//! may be left of it: no process, no thread, no descriptor.

mod each;
pub mod stat;

use std::{fs, thread, time::Instant};

pub use each::{LIMIT, each, wait_until};
use process::{BoxError, System};
pub use stat::{children, is_gone};

pub type Test = (&'static str, fn(&System));

/// Runs the tests whose names contain one of the program's arguments; all, if there is none.
pub fn run(system: &System, tests: &[&[Test]]) -> Result<(), BoxError> {
    each(tests, |test| {
        system.stop(&[], LIMIT); // the supervisor has heard of the end of what was before
        let before = Left::now();
        test(system);
        let end = Instant::now() + LIMIT;
        loop {
            let left = Left::now();
            if left.is_within(&before) {
                break;
            }
            assert!(Instant::now() < end, "something is left: {left:?}; before: {before:?}");
            thread::yield_now();
        }
    })
}

/// What a test could leave behind.
#[derive(Debug)]
struct Left {
    descriptors: usize,
    threads: usize,
    /// And whether it waits to be reaped.
    children: Vec<(i32, bool)>,
}

impl Left {
    fn now() -> Self {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let children = children(std::process::id() as i32).into_iter().map(|pid| (pid, is_gone(pid)));
        Self { descriptors: count("/proc/self/fd"), threads: count("/proc/self/task"), children: children.collect() }
    }

    fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.children.len() <= before.children.len()
    }
}
