//! Many of them, with as few descriptors as a login shell gives.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use process::{BoxError, Program, System};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{
    LIMIT, Test,
    runner::children,
    seen::{descriptors, is_copy, pid, start, zygotes},
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[("a_thousand_copies", a_thousand_copies)];

/// The argument that makes this program start a thousand.
pub const THOUSAND: &str = "thousand";

fn a_thousand_copies(_system: &System) {
    assert!(Command::new("/proc/self/exe").arg(THOUSAND).status().unwrap().success());
}

pub fn thousand(program: Program) -> ExitCode {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), maximum }).unwrap();
    program.run(many)
}

fn many(system: &System) -> Result<(), BoxError> {
    const COUNT: usize = 1000;
    // The zygote stays, and with it its descriptors.
    start(system, "first").stop(LIMIT);
    let before = descriptors();
    let begin = Instant::now();
    let start = |index| system.spawn::<Subject>(Config::default()).name(format!("m{index}")).begin().unwrap();
    let starting: Vec<_> = (0..COUNT).map(start).collect();
    let subjects: Vec<SubjectHandle> = starting.into_iter().map(|starting| starting.wait().unwrap()).collect();
    let ready = begin.elapsed();
    // All of them, unless the machine is so loaded that the zygote didn't answer in time and it was exec for a second.
    let copies = subjects.iter().filter(|subject| is_copy(pid(subject))).count();
    assert!(copies > COUNT / 2, "{copies}");
    assert!(subjects.iter().all(|subject| subject.half(2).wait().unwrap() == 1));
    let theirs: Vec<usize> = subjects.iter().map(|subject| subject.open().wait().unwrap().len()).collect();
    assert!(theirs.iter().all(|count| *count == theirs[0]), "a child has something of another's: {theirs:?}");
    let begin = Instant::now();
    subjects.iter().for_each(|subject| subject.terminate());
    for subject in &subjects {
        assert_eq!(subject.join_for(LIMIT).unwrap().number(), Some(-15));
    }
    println!(
        "     ({COUNT} ready, {copies} of them copies, within {ready:.1?}, terminated within {:.1?})",
        begin.elapsed()
    );
    drop(subjects);
    let own = std::process::id() as i32;
    wait_until("nothing is left", || descriptors() <= before && children(own) == zygotes(own));
    Ok(())
}
