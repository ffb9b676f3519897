//! Children that are another executable.

use process::{Executable, System};

use crate::{Test, subject::Subject};

pub const TESTS: &[Test] = &[
    ("executables: another one becomes the child", another_one_becomes_the_child),
    ("executables: one that can't be run says which", one_that_is_missing_says_which),
    ("executables: one that speaks no wire of ours is no hang", one_that_is_no_child_says_so),
];

fn another_one_becomes_the_child(system: &System) {
    let link = std::env::temp_dir().join(format!("framewire-executable-{}", std::process::id()));
    std::os::unix::fs::symlink(std::env::current_exe().unwrap(), &link).unwrap();
    let spawn = system.spawn::<Subject>(Default::default()).name("x.linked").executable(Executable::new(&link));
    let started = spawn.start();
    std::fs::remove_file(&link).unwrap();
    let child = started.unwrap();
    let pid = child.pid().wait().unwrap();
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(line.starts_with(link.as_os_str().as_encoded_bytes()), "{}", String::from_utf8_lossy(&line));
}

fn one_that_is_missing_says_which(system: &System) {
    let missing = Executable::new("no-such-interpreter").args(["-m", "worker"]);
    let told = system.spawn::<Subject>(Default::default()).name("x.missing").executable(missing).start().unwrap_err();
    assert!(told.to_string().contains("no-such-interpreter"), "{told}");
}

fn one_that_is_no_child_says_so(system: &System) {
    let other = Executable::new("/bin/true");
    let told = system.spawn::<Subject>(Default::default()).name("x.other").executable(other).start().unwrap_err();
    assert_eq!(
        told.exit.as_ref().map(ToString::to_string).as_deref(),
        Some("lost before it was ready: exit code 0"),
        "{told}"
    );
}
