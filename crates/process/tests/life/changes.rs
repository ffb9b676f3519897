//! The stream of changes, as an application waits for it.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use futures::FutureExt;
use process::{Changes, Restart, Select, State, System};
use rustix::event::{PollFd, PollFlags, poll};

use super::{LIMIT, Test, calls::start};

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

/// Three programs that end at once, and are started again, hundreds of times, while nobody reads.
fn a_slow_reader(system: &System) {
    let (changes, counts) = (system.changes(), system.changes());
    let policy = Restart::always().at_most(100_000).longest_delay(Duration::ZERO);
    let names = ["c.slow1", "c.slow2", "c.slow3"];
    let start = |name| system.spawn_program(&Command::new("true")).name(name).restart(policy).start().unwrap();
    let programs = names.map(start);
    let mut seen = 0;
    while seen < 1300 {
        seen += counts.recv_timeout(LIMIT).map_or(0, |change| change.merged + 1);
    }
    programs.iter().for_each(|program| program.stop(LIMIT));
    seen += counts.try_iter().map(|change| change.merged + 1).sum::<u64>();
    let told: Vec<_> = changes.try_iter().collect();
    assert!(told.len() <= 1024 + programs.len(), "{}", told.len());
    assert_eq!(told.iter().map(|change| change.merged + 1).sum::<u64>(), seen, "each is counted");
    let last: BTreeMap<&str, _> = told.iter().map(|change| (change.name.as_str(), change)).collect();
    for (name, program) in names.iter().zip(&programs) {
        assert_eq!((last[name].state, last[name].restarts), (State::Exited, program.restarts()));
    }
    println!("     ({seen} changes in {})", told.len());
}
