//! What systemd hears of a service that is well, that hangs, and that stops.

use std::{
    fs,
    time::{Duration, Instant},
};

use process::systemd::VARIABLES;
use rustix::{
    process::{Pid, Signal, kill_process},
    time::{ClockId, clock_gettime},
};

use super::{Test, manager::Manager, wait_until};

pub const TESTS: &[Test] = &[
    ("it_is_ready_once_all_processes_are", ready_at_a_path),
    ("it_is_ready_at_an_abstract_address_too", ready_at_a_name),
    ("it_is_ready_once_those_that_are_required_are", ready_when_required),
    ("no_child_hears_of_systemd", environment),
    ("the_watchdog_hears_nothing_while_a_required_process_hangs", watchdog_and_a_process_that_hangs),
    ("the_watchdog_does_not_mind_one_that_is_not_required", watchdog_and_one_that_may_hang),
    ("the_watchdog_hears_nothing_while_the_supervisor_hangs", watchdog_and_a_supervisor_that_hangs),
    ("the_watchdog_does_not_mind_a_log_that_hangs", watchdog_and_a_log_that_hangs),
    ("it_stays_up_when_a_worker_dies_and_says_so", a_worker_dies),
    ("it_stops_in_order_and_asks_for_time", stops),
    ("it_says_when_it_reloads", reloads),
];

const WATCHDOG: Duration = Duration::from_millis(800);

fn ready(manager: &mut Manager) {
    manager.start("signs");
    manager.wait_for("2 of 3 ready, 1 starting: c");
    assert!(!manager.has_heard("READY=1"), "{:?}", manager.heard);
    fs::write(manager.path("c may be ready"), "").unwrap();
    let told = manager.wait_for("READY=1");
    assert_eq!(told, "READY=1\nSTATUS=3 of 3 ready");
    manager.wait_for_line("a is ");
}

fn ready_at_a_path() {
    ready(&mut Manager::new());
}

fn ready_at_a_name() {
    ready(&mut Manager::abstract_name());
}

fn ready_when_required() {
    let mut manager = Manager::new();
    fs::write(manager.path("required"), "a b").unwrap();
    manager.start("signs");
    assert_eq!(manager.wait_for("READY=1"), "READY=1\nSTATUS=2 of 3 ready, 1 starting: c");
}

fn environment() {
    let mut manager = Manager::new().watchdog(Duration::from_secs(600));
    fs::write(manager.path("c may be ready"), "").unwrap();
    manager.store.push(("x".to_owned(), fs::File::open("/dev/null").unwrap().into()));
    manager.start("signs");
    let names = manager.wait_for_line("environment ");
    let names: Vec<&str> = names.split(' ').collect();
    assert!(VARIABLES.iter().all(|name| !names.contains(name)), "{names:?}");
    assert!(names.contains(&"INVOCATION_ID") && names.contains(&"PATH"), "{names:?}");
}

/// Whether it gives a sign of life within so long.
fn is_fed_within(manager: &mut Manager, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    while let Some(text) = manager.hear_within(end.saturating_duration_since(Instant::now())) {
        if text == "WATCHDOG=1" {
            return true;
        }
    }
    false
}

fn watched(required: &str) -> Manager {
    let mut manager = Manager::new().watchdog(WATCHDOG);
    fs::write(manager.path("required"), required).unwrap();
    ready(&mut manager);
    for _ in 0..4 {
        manager.wait_for("WATCHDOG=1");
    }
    manager
}

fn watchdog_and_a_process_that_hangs() {
    let mut manager = watched("");
    manager.signal(Signal::USR1);
    manager.wait_for("1 stuck: a");
    assert!(!is_fed_within(&mut manager, WATCHDOG * 3), "{:?}", manager.heard);
    assert!(
        manager.output().contains("the watchdog gets no sign of life: a has something to do"),
        "{}",
        manager.output()
    );
    // Whoever ends it ends that.
    kill(&manager.wait_for_line("a is "));
    manager.wait_for("WATCHDOG=1");
}

fn watchdog_and_one_that_may_hang() {
    let mut manager = watched("b c");
    manager.signal(Signal::USR1);
    for _ in 0..8 {
        manager.wait_for("WATCHDOG=1");
    }
    assert!(!manager.has_heard("stuck: a"), "{:?}", manager.heard);
}

fn watchdog_and_a_supervisor_that_hangs() {
    let mut manager = watched("");
    manager.signal(Signal::WINCH);
    // One may be on its way.
    wait_until("it stops", || !is_fed_within(&mut manager, WATCHDOG * 2));
    assert!(!is_fed_within(&mut manager, WATCHDOG * 2), "{:?}", manager.heard);
    fs::write(manager.path("go on"), "").unwrap();
    manager.wait_for("WATCHDOG=1");
}

fn watchdog_and_a_log_that_hangs() {
    let mut manager = watched("");
    manager.signal(Signal::USR2);
    manager.wait_for_line("the log hangs");
    for _ in 0..8 {
        manager.wait_for("WATCHDOG=1");
    }
}

fn kill(pid: &str) {
    kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
}

fn a_worker_dies() {
    let mut manager = Manager::new();
    ready(&mut manager);
    fs::write(manager.path("c is broken"), "").unwrap();
    kill(&manager.wait_for_line("c is "));
    let told = manager.wait_for("STATUS=2 of 3 ready, 1 ");
    assert!(told.ends_with("restarting: c") || told.ends_with("starting: c"), "{told}");
    fs::remove_file(manager.path("c is broken")).unwrap();
    manager.wait_for("STATUS=3 of 3 ready");
    assert!(manager.is_running());
}

fn stops() {
    let mut manager = Manager::new();
    ready(&mut manager);
    let asked = Instant::now();
    manager.signal(Signal::TERM);
    manager.wait_for("STOPPING=1");
    assert!(!manager.path("drained").exists(), "it takes half a second");
    assert_eq!(manager.wait_for("EXTEND_TIMEOUT_USEC="), "EXTEND_TIMEOUT_USEC=10000000");
    let status = manager.wait_end();
    assert_eq!(status.code(), Some(0), "{}", manager.output());
    assert!(manager.path("drained").exists() && manager.output().contains("all stopped"));
    assert!(asked.elapsed() < Duration::from_secs(10), "long before TimeoutStopSec: {:?}", asked.elapsed());
    let stopping = manager.heard.iter().position(|text| text.contains("STOPPING=1")).unwrap();
    assert!(manager.heard[stopping..].iter().all(|text| !text.contains("READY=1") && !text.contains("WATCHDOG=1")));
}

fn reloads() {
    let mut manager = Manager::new();
    ready(&mut manager);
    let before = clock_gettime(ClockId::Monotonic);
    manager.signal(Signal::HUP);
    let told = manager.wait_for("RELOADING=1");
    let at: i64 = told.split_once("MONOTONIC_USEC=").unwrap().1.trim().parse().unwrap();
    assert!(at >= before.tv_sec * 1_000_000 + before.tv_nsec / 1000, "{told}");
    manager.wait_for("READY=1");
    manager.wait_for_line("reloads");
}
