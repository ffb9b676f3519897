//! How processes end, and what follows.

use std::time::{Duration, Instant};

use process::{Change, Exit, Restart, StartError, State, System};
use rustix::process::{Pid, Signal, kill_process};
use shm::status::{Number, Text};

use super::{
    LIMIT, Test,
    calls::start,
    subject::{Config, Manner, Subject},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("a_start_that_fails_says_why", a_start_that_fails_says_why),
    ("a_start_that_takes_too_long_is_an_error", a_start_that_takes_too_long),
    ("two_of_one_name_are_refused", two_of_one_name),
    ("a_killed_process_is_back_and_the_table_knows_how_it_died", a_killed_process_is_back),
    ("a_process_that_always_dies_is_given_up", one_that_always_dies),
    ("a_good_end_is_not_a_failure", a_good_end),
    ("one_lost_at_its_first_start_is_started_again_if_that_is_wanted", lost_at_its_first_start),
    ("one_that_ignores_its_stop_is_killed_with_its_children", one_that_ignores_its_stop),
    ("a_stopped_one_is_killed_too", a_stopped_one),
    ("nothing_is_left_of_a_hundred", a_hundred),
];

fn in_manner(system: &System, manner: Manner, ready_within: Duration) -> Result<(), StartError> {
    let config = Config { manner, file: None };
    let spawn = system.spawn::<Subject>(config).name("b").restart(Restart::always());
    spawn.ready_within(ready_within).start().map(drop)
}

fn a_start_that_fails_says_why(system: &System) {
    // A backtrace of a panic, where one is wanted, takes a good while.
    let told = |manner| in_manner(system, manner, LIMIT).unwrap_err().to_string();
    assert_eq!(told(Manner::FailsToStart), "start b: failed: the model isn't there");
    assert!(told(Manner::PanicsAtStart).contains("it panicked: no start"));
    assert_eq!(told(Manner::ExitsAtStart), "start b: lost before it was ready: exit code 3; it wrote: the last line");
}

fn lost_at_its_first_start(system: &System) {
    let restart = Restart::always().from_the_start().longest_delay(Duration::from_millis(10));
    let start = |name: &str, manner: Manner, restart| {
        let spawn = system.spawn::<Subject>(Config { manner, file: None }).name(name).restart(restart);
        spawn.begin().unwrap()
    };
    // Killed while it loads, it loads again.
    let file = std::env::temp_dir().join(format!("framewire-loads-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let starting = start("l.killed", Manner::WaitsWhileThere(file.clone()), restart);
    let handle = starting.handle().clone();
    for round in 1..=3 {
        wait_until("it loads", || handle.restarts() + 1 == round && handle.process_id().is_some());
        handle.kill();
        wait_until("it loads again", || handle.restarts() == round);
    }
    std::fs::remove_file(&file).unwrap();
    assert_eq!(starting.wait().unwrap().add(1).wait().unwrap(), 1);
    // Given up, it says so; and what fails by itself isn't tried again.
    let told = start("b", Manner::ExitsAtStart, restart.at_most(3)).wait().map(drop).unwrap_err().to_string();
    assert_eq!(told, "start b: lost before it was ready: exit code 3; it wrote: the last line");
    let changes = system.changes();
    assert!(start("l.fails", Manner::FailsToStart, restart).wait().is_err());
    assert!(changes.try_iter().all(|change| change.state != State::Restarting));
    // Stopped between two attempts.
    let slow = restart.longest_delay(Duration::from_secs(600)).at_most(1000);
    let starting = start("l.stopped", Manner::ExitsAtStart, slow);
    let handle = starting.handle().clone();
    wait_until("it is to come back", || handle.state() == State::Restarting && handle.restarts() >= 3);
    handle.stop(LIMIT);
    assert!(starting.wait().map(drop).unwrap_err().to_string().contains("stopped before it was ready"));
}

fn a_start_that_takes_too_long(system: &System) {
    let told = in_manner(system, Manner::NeverReady, Duration::from_millis(300)).unwrap_err();
    assert_eq!(told.to_string(), "start b: not ready in time");
}

fn two_of_one_name(system: &System) {
    let first = start(system, "same");
    let second = system.spawn::<Subject>(Config::default()).name("same").start();
    assert!(second.unwrap_err().to_string().contains("already"));
    assert_eq!(first.add(1).wait().unwrap(), 1);
    first.stop(LIMIT);
    start(system, "same").stop(LIMIT);
}

fn a_killed_process_is_back(system: &System) {
    let changes = system.changes();
    let spawn = system.spawn::<Subject>(Config::default()).name("b").restart(Restart::on_failure());
    let subject = spawn.start().unwrap();
    let page = subject.status().view();
    let first = subject.pid().wait().unwrap();
    assert_eq!((page.get(Number::Pid), page.text(Text::LastExit).as_str()), (u64::from(first), ""));
    kill_process(Pid::from_raw(first as i32).unwrap(), Signal::KILL).unwrap();
    wait_until("it is ready again", || {
        page.get(Number::Restarts) == 1 && State::from_number(page.get(Number::State)) == Some(State::Ready)
    });
    assert_ne!(subject.pid().wait().unwrap(), first);
    assert_eq!(page.text(Text::LastExit), "killed by SIGKILL");
    subject.stop(LIMIT);
    assert_eq!(page.get(Number::Pid), 0);
    let states: Vec<State> =
        changes.try_iter().filter(|change| change.name == "b").map(|change| change.state).collect();
    use State::*;
    assert_eq!(states, [Starting, Ready, Restarting, Starting, Ready, Stopping, Exited]);
}

fn last_change(system: &System, act: impl FnOnce(), until: impl Fn(&Change) -> bool) -> Change {
    let changes = system.changes();
    act();
    let end = Instant::now() + LIMIT;
    loop {
        let change = changes.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap();
        if until(&change) {
            return change;
        }
    }
}

fn one_that_always_dies(system: &System) {
    let policy = Restart::always().at_most(3);
    let subject = system.spawn::<Subject>(Config::default()).name("b").restart(policy).start().unwrap();
    let changes = system.changes();
    for restarts in 1..=4 {
        wait_until("it is ready", || subject.pid().wait_for(LIMIT).is_ok());
        subject.leave(9).detach();
        wait_until("it is gone", || subject.restarts() >= restarts || subject.state() == State::Failed);
    }
    let failed = changes.iter().find(|change| change.state == State::Failed).unwrap();
    let (exit, lines) = failed.exit.unwrap();
    assert_eq!((exit, lines, failed.restarts), (Exit::Code(9), vec!["going".to_owned()], 3));
}

fn a_good_end(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("b").restart(Restart::on_failure());
    let subject = spawn.start().unwrap();
    let change = last_change(system, || subject.leave(0).detach(), |change| change.exit.is_some());
    assert_eq!((change.state, change.exit.unwrap().0), (State::Exited, Exit::Code(0)));
}

fn one_that_ignores_its_stop(system: &System) {
    let config = Config { manner: Manner::IgnoresStop, file: None };
    let subject = system.spawn::<Subject>(config).name("b").start().unwrap();
    let grandchild = subject.grandchild().wait().unwrap().unwrap();
    let change = last_change(system, || subject.stop(Duration::from_millis(40)), |change| change.exit.is_some());
    assert_eq!((change.state, change.exit.unwrap().0), (State::Exited, Exit::Signal(15)));
    wait_until("its child is gone", || super::runner::is_gone(grandchild as i32));
}

fn a_stopped_one(system: &System) {
    let subject = start(system, "b");
    super::stops::freeze(&subject);
    let change = last_change(system, || subject.stop(Duration::from_millis(40)), |change| change.exit.is_some());
    assert_eq!(change.exit.unwrap().0, Exit::Signal(9));
}

fn a_hundred(system: &System) {
    start(system, "warm-up").stop(LIMIT);
    super::heavy::many(system, 100);
}
