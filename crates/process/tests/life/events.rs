//! What a process says unasked, when nobody reads it.

use std::time::{Duration, Instant};

use process::{Overflow, Restart, System};

use super::{
    LIMIT, Test,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("events_the_newest_are_dropped_where_the_first_count", the_newest_are_dropped),
    ("events_none_is_lost_where_the_process_waits", none_is_lost),
    ("events_a_process_that_waits_can_be_stopped", can_be_stopped),
    ("events_a_successor_waits_too", a_successor_waits_too),
    ("events_are_awaited_under_any_runtime", awaited),
    ("events_a_flood_keeps_within_its_bound", a_flood),
];

fn start(system: &System, name: &str, overflow: Overflow) -> SubjectHandle {
    system.spawn::<Subject>(Config::default()).name(name).overflow(overflow).start().unwrap()
}

fn the_newest_are_dropped(system: &System) {
    let subject = start(system, "e.newest", Overflow::DropNewest(10));
    let events = subject.events::<u64>();
    subject.count(50).wait().unwrap();
    wait_until("some are dropped", || events.dropped() == 40);
    let left: Vec<u64> = std::iter::from_fn(|| events.next_for(Duration::ZERO).unwrap()).collect();
    assert_eq!(left, (1..=10).collect::<Vec<_>>());
}

fn none_is_lost(system: &System) {
    const COUNT: u64 = 20_000;
    let subject = start(system, "e.wait", Overflow::Wait(100));
    let events = subject.events::<u64>();
    subject.count(COUNT).detach();
    for expected in 1..=COUNT {
        assert_eq!(events.next_for(LIMIT).unwrap(), Some(expected));
    }
    assert_eq!((events.dropped(), subject.add(1).wait().unwrap()), (0, 1));
    // Read by a listener, it never waits.
    let (sender, heard) = std::sync::mpsc::channel();
    subject.on_event(move |event: u64| sender.send(event).unwrap());
    subject.count(1000).wait_for(LIMIT).unwrap();
    assert_eq!(heard.iter().take(1000).collect::<Vec<u64>>(), (1..=1000).collect::<Vec<_>>());
}

fn can_be_stopped(system: &System) {
    let subject = start(system, "e.stop", Overflow::Wait(5));
    let events = subject.events::<u64>();
    subject.count(10_000).detach();
    wait_until("it waits", || events.next_for(Duration::ZERO).unwrap().is_some());
    let begin = Instant::now();
    subject.stop(LIMIT);
    assert!(begin.elapsed() < LIMIT / 2, "it wasn't killed");
    assert_eq!(subject.join().number(), Some(0));
}

fn a_successor_waits_too(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("e.again").restart(Restart::always());
    let subject = spawn.overflow(Overflow::Wait(10)).start().unwrap();
    let events = subject.events::<u64>();
    subject.count(8).wait().unwrap();
    subject.kill();
    wait_until("it is back", || subject.restarts() == 1 && subject.add(0).wait_for(LIMIT).is_ok());
    let told = subject.count(8).wait_for(Duration::from_millis(100));
    assert!(told.is_err(), "eight of ten places are taken by its predecessor's events");
    let read: Vec<u64> = (0..16).map(|_| events.next_for(LIMIT).unwrap().unwrap()).collect();
    assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
}

fn awaited(system: &System) {
    let subject = start(system, "e.await", Overflow::default());
    let events = subject.events::<u64>();
    futures::executor::block_on(async {
        subject.count(2).await.unwrap();
        assert_eq!((events.next().await.unwrap(), events.next().await.unwrap()), (Some(1), Some(2)));
        subject.leave(0).detach();
        assert_eq!(events.next().await.unwrap(), None);
        assert_eq!(subject.ended().await.number(), Some(0));
    });
}

/// A hundred thousand events that nobody reads: bounded memory, each is counted, and calls go on.
fn a_flood(system: &System) {
    let subject = start(system, "e.flood", Overflow::DropOldest(64));
    let events = subject.events::<u64>();
    subject.count(100_000).wait().unwrap();
    assert_eq!(subject.add(1).wait().unwrap(), 1);
    subject.count(1).wait().unwrap(); // it takes along how many were lost on the way
    wait_until("all are accounted for", || events.dropped() + 64 == 100_001);
    let left = std::iter::from_fn(|| events.next_for(Duration::ZERO).unwrap()).count();
    assert_eq!(left, 64);
}
