//! A process that waits for something else isn't one that doesn't get on.

use std::time::Duration;

use process::{CallError, Exit, Process, Restart, System};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    LIMIT, Test, ask,
    subject::{Config, Subject, SubjectHandle},
};

pub const TESTS: &[Test] = &[
    ("unresponsive_is_none_whose_calls_wait_for_something_else", none_that_waits),
    ("unresponsive_is_one_that_is_stopped_with_calls_in_flight", one_that_is_stopped),
    ("unresponsive_is_one_that_computes_in_an_asynchronous_command", one_that_computes),
];

const WITHIN: Duration = Duration::from_millis(300);

fn start(system: &System) -> SubjectHandle {
    let spawn = system.spawn::<Subject>(Config::default()).name("heart").restart(Restart::on_failure());
    spawn.responsive_within(WITHIN).start().unwrap()
}

fn none_that_waits(system: &System) {
    let subject = start(system);
    // More than may run: also those that wait for room have been seen.
    let asked: Vec<_> = (0..Subject::CONCURRENT_CALLS as u64 * 2).map(|key| ask(subject.hold(key))).collect();
    drop(ask(subject.hold(1000))); // cancelled perhaps before it is looked at, which must not count as waiting
    std::thread::sleep(WITHIN * 3); // sleep: it must be left alone meanwhile
    for (key, asked) in (0..).zip(asked) {
        assert!(subject.release(key).wait().unwrap());
        assert_eq!(asked.wait().unwrap(), key * 2);
    }
    assert_eq!(subject.restarts(), 0);
    subject.stop(LIMIT);
}

fn one_that_is_stopped(system: &System) {
    let subject = start(system);
    let asked = ask(subject.hold(1));
    subject.ping(1).wait().unwrap();
    kill_process(Pid::from_raw(subject.process_id().unwrap()).unwrap(), Signal::STOP).unwrap();
    let told = subject.ping(2).wait_for(LIMIT).unwrap_err();
    assert!(matches!(told, CallError::Died { how: Exit::Unresponsive, .. }), "{told}");
    assert!(asked.wait().is_err());
    subject.stop(LIMIT);
}

fn one_that_computes(system: &System) {
    let subject = start(system);
    let told = subject.spin(600_000).wait_for(LIMIT).unwrap_err();
    assert!(matches!(told, CallError::Died { how: Exit::Unresponsive, .. }), "{told}");
    subject.stop(LIMIT);
}
