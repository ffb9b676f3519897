//! Processes that have something to do and don't get on with it.

use std::time::{Duration, Instant};

use process::{CallError, Exit, Overflow, Restart, State, System};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    LIMIT, Test,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("unresponsive_a_handler_that_never_ends", never_ends),
    ("unresponsive_a_process_that_is_stopped", is_stopped),
    ("unresponsive_is_none_that_sleeps_plods_or_waits", none_of_these),
    ("unresponsive_is_none_whose_events_are_read_now_and_then", read_now_and_then),
];

const WITHIN: Duration = Duration::from_millis(200);

fn start(system: &System, name: &str) -> SubjectHandle {
    let spawn = system.spawn::<Subject>(Config::default()).name(name).restart(Restart::on_failure());
    spawn.responsive_within(WITHIN).overflow(Overflow::Wait(5)).start().unwrap()
}

fn never_ends(system: &System) {
    let subject = start(system, "u.busy");
    let begin = Instant::now();
    let told = subject.spin(600_000).wait().unwrap_err();
    let took = begin.elapsed();
    assert!(matches!(told, CallError::Died { how: Exit::Unresponsive, .. }), "{told}");
    assert!(took >= WITHIN && took < LIMIT, "{took:?}");
    let report = subject.last_exit().unwrap().1.join("\n");
    assert!(report.contains("thread u.busy (") && report.contains("thread control ("), "{report}");
    assert!(report.contains("computing, at ") && !report.contains("at unknown"), "where it was: {report}");
    assert!(report.contains("likely called from: ") && report.contains(" life-"), "{report}");
    wait_until("it is replaced", || subject.state() == State::Ready && subject.restarts() == 1);
    assert_eq!(subject.add(1).wait().unwrap(), 1);
}

fn is_stopped(system: &System) {
    let subject = start(system, "u.stopped");
    kill_process(Pid::from_raw(subject.process_id().unwrap()).unwrap(), Signal::STOP).unwrap();
    let told = subject.add(1).wait_for(LIMIT).unwrap_err();
    assert!(matches!(told, CallError::Died { how: Exit::Unresponsive, .. }), "{told}");
}

fn none_of_these(system: &System) {
    let subject = start(system, "u.well");
    std::thread::sleep(WITHIN * 2); // sleep: it has nothing to do meanwhile, and must be left alone
    subject.plod(WITHIN.as_millis() as u64 * 3).wait().unwrap();
    subject.count(10).detach();
    std::thread::sleep(WITHIN * 2); // sleep: it waits for its events to be read meanwhile
    let events = subject.events::<u64>();
    (1..=10).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    assert_eq!((subject.restarts(), subject.add(1).wait().unwrap()), (0, 1));
}

/// It waits until half of its events were read, also when some of them were.
fn read_now_and_then(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("u.unread").restart(Restart::on_failure());
    let subject = spawn.responsive_within(WITHIN).overflow(Overflow::Wait(10)).start().unwrap();
    let events = subject.events::<u64>();
    subject.count(30).detach();
    (1..=3).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    std::thread::sleep(WITHIN * 4); // sleep: nothing may come of it
    (4..=30).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    assert_eq!((subject.restarts(), subject.add(1).wait().unwrap()), (0, 1));
}
