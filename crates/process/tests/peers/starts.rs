//! procspawn's `spawn()` never returns if the child dies before it connects.

use std::time::{Duration, Instant};

use process::{Exit, StartError, System};
use rustix::process::{Signal, getpid, kill_process};

use super::{
    rounds::answers,
    runner::Test,
    subject::{Config, Subject},
};

pub const TESTS: &[Test] = &[
    ("a_start_whose_child_exits_before_its_hello_fails", exits),
    ("a_start_whose_child_is_killed_before_its_hello_fails", killed),
    ("a_start_whose_child_is_stopped_before_its_hello_fails_in_time", stopped),
];

/// What such a child is told by: this variable, in its first instruction of ours.
const BEFORE_HELLO: &str = "PEERS_TEST_BEFORE_HELLO";

/// Ends, or stops, before it has read or said anything.
pub fn die_if_told() {
    match std::env::var(BEFORE_HELLO).as_deref() {
        Ok("exit") => std::process::exit(3),
        Ok("kill") => kill_process(getpid(), Signal::KILL).unwrap(),
        Ok("stop") => kill_process(getpid(), Signal::STOP).unwrap(),
        _ => {}
    }
}

fn start(system: &System, way: &str, limit: Duration) -> (StartError, Duration) {
    let begun = Instant::now();
    let spawn = system.spawn::<Subject>(Config).name("unborn").env(BEFORE_HELLO, way).ready_within(limit);
    (spawn.start().unwrap_err(), begun.elapsed())
}

fn exits(system: &System) {
    answers(|| {
        let (told, took) = start(system, "exit", Duration::from_secs(60));
        assert_eq!(told.exit, Some(Exit::LostBeforeReady(Box::new(Exit::Code(3)))), "{told}");
        took
    });
}

fn killed(system: &System) {
    answers(|| {
        let (told, took) = start(system, "kill", Duration::from_secs(60));
        assert_eq!(told.exit, Some(Exit::LostBeforeReady(Box::new(Exit::Signal(9)))), "{told}");
        took
    });
}

fn stopped(system: &System) {
    const IN_TIME: Duration = Duration::from_millis(150);
    answers(|| {
        let (told, took) = start(system, "stop", IN_TIME);
        assert_eq!(told.exit, Some(Exit::NotReadyInTime), "{told}");
        took.saturating_sub(IN_TIME)
    });
}
