//! Many at once, and none knows anything of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    os::unix::net::UnixStream,
    process::Command,
    time::Instant,
};

use process::{BoxError, Exit, System};
use rustix::fs::OFlags;

use super::{
    runner::{LIMIT, Test, children, wait_until},
    subject::{Arguments, Subject, SubjectHandle},
};

pub const TESTS: &[Test] = &[
    ("python_many_processes", many_processes),
    ("python_child_fd_inflation", fd_inflation),
    ("python_close_fds", close_fds),
    ("three_hundred_at_once_under_the_usual_limit_of_descriptors", under_the_usual_limit),
];

/// The argument that makes this program one that starts so many at once.
pub const CROWD: &str = "crowd";
const CROWD_OF: usize = 300;

fn start_many(system: &System, count: usize) -> Vec<SubjectHandle> {
    let begin = |index| system.spawn::<Subject>(Arguments::default()).name(format!("many{index}")).begin().unwrap();
    let starting: Vec<_> = (0..count).map(begin).collect();
    starting.into_iter().map(|starting| starting.wait().unwrap()).collect()
}

/// `test_many_processes`: all end by themselves; then all are terminated as soon as they are there.
fn many_processes(system: &System) {
    let all = start_many(system, 100);
    all.iter().for_each(|subject| subject.sys_exit(0).detach());
    assert!(all.iter().all(|subject| subject.join_for(LIMIT) == Some(Exit::Code(0))));
    drop(all);
    let all = start_many(system, 100);
    all.iter().for_each(|subject| subject.terminate());
    assert!(all.iter().all(|subject| subject.join_for(LIMIT) == Some(Exit::Signal(15))));
}

/// `test_child_fd_inflation`: the two-hundredth has no more descriptors than the first, and nobody has another one's line.
fn fd_inflation(system: &System) {
    let all = start_many(system, 200);
    let theirs: Vec<Vec<(i32, String)>> = all.iter().map(|subject| subject.descriptors().wait().unwrap()).collect();
    let numbers = |of: &[(i32, String)]| of.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    assert!(theirs.iter().all(|of| numbers(of) == numbers(&theirs[0])), "one inherited something: {theirs:?}");
    // What this program was itself started with, unmarked, is handed on by every exec.
    let handed_on = unmarked();
    let mut owners: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (index, of) in theirs.iter().enumerate() {
        let lines = of.iter().filter(|(_, what)| what.starts_with("socket:") || what.starts_with("pipe:"));
        for (_, what) in lines.filter(|(_, what)| !handed_on.contains(what)) {
            owners.entry(what).or_default().insert(index);
        }
    }
    assert!(owners.len() >= 3 * all.len(), "a line, an output and an error each");
    let shared: Vec<_> = owners.iter().filter(|(_, owners)| owners.len() > 1).collect();
    assert!(shared.is_empty(), "two have the same: {shared:?}");
}

/// What is behind those descriptors of this process that an exec doesn't close.
fn unmarked() -> BTreeSet<String> {
    let is_unmarked = |number: &str| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim).unwrap_or("0");
        u32::from_str_radix(flags, 8).is_ok_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
    };
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let unmarked = entries.filter(|entry| is_unmarked(&entry.file_name().to_string_lossy()));
    unmarked.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned())).collect()
}

/// `TestCloseFds.test_closefd`: what this process has open is nothing to its children. (What a C library opens unmarked is: as
/// with every exec.)
fn close_fds(system: &System) {
    let (mut read, write) = std::io::pipe().unwrap();
    let (mut socket, theirs) = UnixStream::pair().unwrap();
    let subjects = start_many(system, 2);
    drop((write, theirs));
    // If a child had them too, this would wait for the child.
    assert_eq!((read.read(&mut [0]).unwrap(), socket.read(&mut [0]).unwrap()), (0, 0));
    assert!(subjects.iter().all(|subject| subject.is_alive()));
}

/// With 1,024 descriptors at entry, of which so many processes take four and more each.
fn under_the_usual_limit(_system: &System) {
    let script = format!("ulimit -S -n 1024 && exec \"$0\" {CROWD}");
    let program = std::env::current_exe().unwrap();
    let crowd = Command::new("sh").args(["-c", &script]).arg(program).output().unwrap();
    let said = String::from_utf8_lossy(&crowd.stdout);
    assert!(crowd.status.success(), "{said}{}", String::from_utf8_lossy(&crowd.stderr));
    print!("{said}");
}

/// Start all, call all, terminate all: no zombie, and descriptors are back to where they were.
pub fn crowd(system: &System) -> Result<(), BoxError> {
    super::subject::start(system, "warm-up").stop(LIMIT);
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, begun) = (descriptors(), Instant::now());
    let all = start_many(system, CROWD_OF);
    let ready = begun.elapsed();
    assert!(descriptors() > 1024);
    assert!((1..).zip(&all).all(|(number, subject)| subject.square(number).wait().unwrap() == number * number));
    let begun = Instant::now();
    all.iter().for_each(|subject| subject.terminate());
    assert!(all.iter().all(|subject| subject.join_for(LIMIT) == Some(Exit::Signal(15))));
    println!("     ({CROWD_OF} ready within {ready:.1?}, terminated within {:.1?})", begun.elapsed());
    drop(all);
    wait_until("nothing is left", || descriptors() <= before && children(std::process::id() as i32).is_empty());
    Ok(())
}
