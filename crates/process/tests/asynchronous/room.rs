//! Calls that are awaited, and for which there is no room in their process's line.

use std::{
    fs,
    future::IntoFuture,
    thread,
    time::{Duration, Instant},
};

use futures::{executor::block_on, future::join_all};
use process::{CallError, Recycle, Restart, Select, System};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    Asked, LIMIT, Test, limit,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("room_thousands_that_are_awaited_at_once_are_all_answered", at_once),
    ("room_thousands_by_a_select_are_all_answered", by_select),
    ("room_who_waits_for_it_costs_nothing_and_has_its_limit", a_limit),
    ("room_who_waits_for_it_hears_of_a_death", a_death),
    ("room_is_told_while_somebody_else_reads", beside_a_reader),
    ("room_is_in_a_replacement_too", replaced),
];

/// More than any line has room for.
const MANY: u64 = 3000;

fn signal(subject: &SubjectHandle, signal: Signal) {
    kill_process(Pid::from_raw(subject.process_id().unwrap()).unwrap(), signal).unwrap();
}

/// Calls of a process that reads nothing, most of which wait for room.
fn fill(subject: &SubjectHandle) -> Vec<Asked<u64>> {
    signal(subject, Signal::STOP);
    let ask = |number| {
        let mut asked = Asked::new(subject.ping(number));
        assert!(asked.look().is_none());
        asked
    };
    (0..MANY).map(ask).collect()
}

fn at_once(system: &System) {
    let subject = limit::start(system, "room.once");
    for _ in 0..3 {
        let answers = block_on(join_all((0..MANY).map(|number| subject.ping(number).into_future())));
        assert!(answers.into_iter().map(Result::unwrap).eq(0..MANY));
    }
    subject.stop(LIMIT);
}

fn by_select(system: &System) {
    let (subject, mut select) = (limit::start(system, "room.select"), Select::new().unwrap());
    let asked: Vec<_> = (0..MANY).map(|number| select.call(subject.ping(number))).collect();
    for (number, asked) in (0..).zip(asked) {
        let answer = loop {
            if let Some(answer) = select.answer(&asked) {
                break answer;
            }
            assert!(!select.wait(LIMIT).unwrap().unwrap().is_empty(), "it isn't answered");
        };
        assert_eq!(answer.unwrap(), number);
    }
    subject.stop(LIMIT);
}

/// How often the supervisor has gone to sleep.
fn sleeps() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let its = tasks.filter(|task| fs::read_to_string(task.join("comm")).unwrap().trim() == "supervisor");
    let of = |task: std::path::PathBuf| {
        let status = fs::read_to_string(task.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    its.map(of).sum()
}

fn a_limit(system: &System) {
    let subject = limit::start(system, "room.limit");
    let mut asked = fill(&subject);
    let before = sleeps();
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let late = Duration::from_millis(200);
    let told = runtime.block_on(async { tokio::time::timeout(late, subject.ping(MANY).into_future()).await });
    assert!(told.is_err() && begun.elapsed() >= late);
    assert!(sleeps() - before < 20, "the supervisor woke {} times to see that there is no room", sleeps() - before);
    // By blocking, one that was awaited before; and its time holds too.
    assert!(asked.pop().unwrap().0.wait_for(Some(Duration::from_millis(20))).is_none());
    asked.truncate(asked.len() / 2);
    signal(&subject, Signal::CONT);
    for (number, asked) in (0..).zip(asked) {
        assert_eq!(asked.wait().unwrap(), number);
    }
    subject.stop(LIMIT);
}

fn a_death(system: &System) {
    let subject = limit::start(system, "room.death");
    let asked = fill(&subject);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| block_on(join_all(asked.into_iter().map(|asked| asked.0))));
        subject.kill();
        for told in waiting.join().unwrap() {
            assert!(matches!(told, Err(CallError::Died { .. })), "{told:?}");
        }
    });
}

/// A thread that waits for its answer has the right to read, and the supervisor doesn't watch for messages meanwhile.
fn beside_a_reader(system: &System) {
    let subject = limit::start(system, "room.reader");
    for _ in 0..5 {
        signal(&subject, Signal::STOP);
        thread::scope(|scope| {
            let reading = scope.spawn(|| subject.ping(7).wait_for(LIMIT));
            let asked = fill(&subject);
            let waiting = scope.spawn(|| block_on(join_all(asked.into_iter().map(|asked| asked.0))));
            signal(&subject, Signal::CONT);
            assert_eq!(reading.join().unwrap().unwrap(), 7);
            assert!(waiting.join().unwrap().into_iter().map(Result::unwrap).eq(0..MANY));
        });
    }
    subject.stop(LIMIT);
}

/// The old one is stopped, and never has room again; the new one has.
fn replaced(system: &System) {
    let policy = Recycle::after_calls(1);
    let spawn = system.spawn::<Subject>(Config::default()).name("room.new").restart(Restart::never()).recycle(policy);
    let subject = spawn.start().unwrap();
    let mut asked = fill(&subject);
    // It answers none, so it is its first answer by which it is due.
    signal(&subject, Signal::CONT);
    wait_until("all are answered, by whichever", || {
        asked.retain_mut(|asked| asked.look().map(|answer| answer.unwrap()).is_none());
        asked.is_empty()
    });
    wait_until("it is replaced", || subject.recycled() > 0); // the old one may have answered all before
    subject.stop(LIMIT);
}
