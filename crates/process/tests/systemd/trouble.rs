//! A systemd that doesn't listen, isn't there, or isn't on this machine.

use std::{fs, process::Command};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    Test,
    manager::{Manager, folder},
    service::SERVICE,
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("a_systemd_that_does_not_read_holds_nobody_up", does_not_read),
    ("a_systemd_that_is_gone_holds_nobody_up", is_gone),
    ("a_systemd_on_another_machine_is_refused", is_elsewhere),
    ("without_systemd_everything_works_and_says_nothing", is_none),
];

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().unwrap()).unwrap()
}

fn is_running(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).is_ok_and(|stat| !stat.contains(") Z"))
}

/// The children of a process.
fn children(of: Pid) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", of.as_raw_pid())).unwrap().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(ToOwned::to_owned).collect::<Vec<_>>()).collect()
}

fn does_not_read() {
    let mut manager = Manager::new();
    fs::write(manager.path("c may be ready"), "").unwrap();
    let filled = manager.fill_up();
    assert!(filled > 0);
    manager.start("signs");
    // Nothing is heard meanwhile: this looks at what it writes only.
    wait_until("it works", || manager.output().contains("a is "));
    let output = manager.output();
    let a = pid(output.lines().find_map(|line| line.strip_prefix("a is ")).unwrap());
    kill_process(a, Signal::KILL).unwrap();
    wait_until("the supervisor sees it", || !is_running(a));
    wait_until("and starts another one", || children(manager.pid()).len() == 3);
    assert!(manager.output().contains("could not tell systemd"), "{}", manager.output());
    // What mattered isn't lost.
    manager.wait_for("READY=1");
    assert_eq!(manager.heard.iter().filter(|text| *text == "X_FILLS=1").count(), filled);
    manager.signal(Signal::TERM);
    assert_eq!(manager.wait_end().code(), Some(0));
}

fn is_gone() {
    let mut manager = Manager::new();
    fs::write(manager.path("c may be ready"), "").unwrap();
    manager.go_deaf();
    manager.start("signs");
    manager.wait_for_line("a is ");
    manager.signal(Signal::TERM);
    assert_eq!(manager.wait_end().code(), Some(0), "{}", manager.output());
}

fn is_elsewhere() {
    let folder = folder();
    let mut service = Command::new("/proc/self/exe");
    service.args([SERVICE, "signs"]).arg(&folder).env("NOTIFY_SOCKET", "vsock:2:1234");
    let ended = service.output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(said.contains("could not tell systemd how this service does: NOTIFY_SOCKET is \"vsock:2:1234\""), "{said}");
    assert!(said.contains("another machine"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}

fn is_none() {
    let folder = folder();
    fs::write(folder.join("c may be ready"), "").unwrap();
    let mut service = Command::new("/proc/self/exe");
    service.args([SERVICE, "signs"]).arg(&folder).env_remove("NOTIFY_SOCKET");
    // Not meant for this process.
    service.env("LISTEN_FDS", "3").env("LISTEN_PID", "1").env("WATCHDOG_USEC", "1000");
    let output = folder.join("output");
    let mut child = service.stdout(fs::File::create(&output).unwrap()).spawn().unwrap();
    wait_until("it works", || fs::read_to_string(&output).unwrap().contains("a is "));
    assert!(fs::read_to_string(&output).unwrap().contains("alone"));
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    fs::remove_dir_all(folder).unwrap();
}
