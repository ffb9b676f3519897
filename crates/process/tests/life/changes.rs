//! The stream of changes, as an application waits for it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::FutureExt;
use process::{Changes, Restart, Select, State, System};
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    LIMIT, Test,
    calls::start,
    subject::{Config, Subject},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("changes_reach_threads_tasks_select_and_descriptors", everybody),
    ("changes_of_a_slow_reader_are_merged_and_counted", a_slow_reader),
];

fn everybody(system: &System) {
    let streams: Vec<Changes> = (0..5).map(|_| system.changes()).collect();
    let subject = start(system, "c.seen");
    let [by_thread, by_task, by_select, by_poll, by_tokio] = &streams[..] else { panic!() };
    let until = |state: State, mut next: Box<dyn FnMut() -> process::Change + '_>| {
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            let change = next();
            if change.name == "c.seen" && change.state == state {
                return change;
            }
        }
        panic!("it wasn't told");
    };
    let ready = until(State::Ready, Box::new(|| by_thread.recv()));
    assert_eq!((ready.pid, ready.merged), (subject.process_id(), 0));
    until(State::Ready, Box::new(|| futures::executor::block_on(by_task.next())));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    until(
        State::Ready,
        Box::new(|| {
            runtime.block_on(async {
                // Polled once and dropped, again and again: nothing is lost.
                loop {
                    match by_tokio.next().now_or_never() {
                        Some(change) => return change,
                        None => tokio::task::yield_now().await,
                    }
                }
            })
        }),
    );
    let mut select = Select::new().unwrap();
    let key = select.changes(by_select);
    until(
        State::Ready,
        Box::new(|| {
            assert_eq!(select.wait(LIMIT).unwrap(), Some(vec![key]));
            by_select.try_recv().unwrap()
        }),
    );
    let is_readable = |limit: Duration| {
        let descriptor = by_poll.descriptor().unwrap();
        poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&limit.try_into().unwrap())).unwrap() == 1
    };
    until(
        State::Ready,
        Box::new(|| {
            assert!(is_readable(LIMIT));
            by_poll.try_recv().unwrap()
        }),
    );
    // Now they wait first, and something happens then.
    for changes in [by_select, by_poll] {
        changes.try_iter().for_each(drop);
    }
    assert!(!is_readable(Duration::ZERO));
    assert_eq!(select.wait(Duration::ZERO).unwrap(), Some(Vec::new()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| select.wait(LIMIT).unwrap());
        subject.stop(LIMIT);
        assert_eq!(waiting.join().unwrap(), Some(vec![key]));
    });
    assert!(is_readable(LIMIT));
    until(State::Exited, Box::new(|| by_select.recv()));
}

/// Three processes die a thousand times in all while nobody reads.
fn a_slow_reader(system: &System) {
    let (changes, counts) = (system.changes(), system.changes());
    let policy = Restart::always().at_most(100_000).longest_delay(Duration::ZERO);
    let names = ["c.slow1", "c.slow2", "c.slow3"];
    let subjects =
        names.map(|name| system.spawn::<Subject>(Config::default()).name(name).restart(policy).start().unwrap());
    let mut seen = 0;
    wait_until("much has happened", || {
        subjects.iter().filter(|subject| subject.state() == State::Ready).for_each(|subject| subject.kill());
        seen += counts.try_iter().count();
        seen > 1600
    });
    wait_until("all work", || subjects.iter().all(|subject| subject.pid().wait_for(LIMIT).is_ok()));
    subjects.iter().for_each(|subject| subject.stop(LIMIT));
    seen += counts.try_iter().count();
    let told: Vec<_> = changes.try_iter().collect();
    assert!(told.len() <= 1024 + subjects.len(), "{}", told.len());
    assert_eq!(told.iter().map(|change| change.merged + 1).sum::<u64>(), seen as u64, "each is counted");
    let last: BTreeMap<&str, _> = told.iter().map(|change| (change.name.as_str(), change)).collect();
    for (name, subject) in names.iter().zip(&subjects) {
        assert_eq!((last[name].state, last[name].restarts), (State::Exited, subject.restarts()));
    }
    println!("     ({seen} changes in {})", told.len());
}
