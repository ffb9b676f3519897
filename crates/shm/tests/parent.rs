//! A process that is killed with its parent, with what it has started, and not otherwise.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, getppid, kill_process};

const ROLE: &str = "SHM_TEST_PARENT_ROLE";

/// Not a test of its own: what the processes run.
#[test]
fn family_process() {
    match std::env::var(ROLE).as_deref() {
        Ok("parent") => {
            let mut child = again("child").stdout(Stdio::inherit()).process_group(0).spawn().unwrap();
            child.wait().unwrap();
            forever()
        }
        Ok("child") => {
            shm::parent::end_with(getppid().unwrap().as_raw_pid()).unwrap();
            let mut started = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
            println!("\nfamily {} {}", std::process::id(), started.id());
            started.wait().unwrap();
            forever()
        }
        Ok("orphan") => {
            // Whoever this is, it isn't the parent.
            shm::parent::end_with(getppid().unwrap().as_raw_pid() + 1).unwrap();
            forever()
        }
        _ => {}
    }
}

fn forever() -> ! {
    loop {
        thread::park();
    }
}

fn again(role: &str) -> Command {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["family_process", "--exact", "--nocapture"]).env(ROLE, role).stdin(Stdio::null());
    again
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.trim_start().chars().next()
}

fn is_gone(pid: i32) -> bool {
    matches!(state(pid), None | Some('Z' | 'X'))
}

/// A parent, its child, and what that has started.
fn family() -> (Child, i32, i32) {
    let mut parent = again("parent").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.filter_map(|line| line.strip_prefix("family ").map(str::to_owned)).next().unwrap();
    let (child, started) = said.split_once(' ').unwrap();
    (parent, child.parse().unwrap(), started.parse().unwrap())
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn it_goes_with_its_parent_and_takes_along_what_it_has_started() {
    for stopped in [false, true] {
        let (mut parent, child, started) = family();
        if stopped {
            signal(child, Signal::STOP);
            wait_until("it is stopped", || state(child) == Some('T'));
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        wait_until("both are gone", || is_gone(child) && is_gone(started));
    }
}

#[test]
fn it_can_still_be_stopped_and_continued() {
    let (mut parent, child, started) = family();
    for _ in 0..3 {
        signal(child, Signal::STOP);
        wait_until("it is stopped", || state(child) == Some('T'));
        signal(child, Signal::CONT);
        wait_until("it goes on", || state(child) == Some('S'));
    }
    assert!(!is_gone(started));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_until("both are gone", || is_gone(child) && is_gone(started));
}

#[test]
fn one_whose_parent_is_gone_already_ends_at_once() {
    use std::os::unix::process::ExitStatusExt;
    let ended = again("orphan").stdout(Stdio::null()).status().unwrap();
    assert_eq!(ended.signal(), Some(9));
}
