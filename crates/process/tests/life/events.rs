//! What a process says unasked, when nobody reads it.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use process::{Limit, Overflow, Recycle, Restart, System};
use rustix::process::{Signal, kill_process};
use shm::status::Number;

use super::{
    LIMIT, Test,
    stops::{fill, freeze},
    subject::{Config, Manner, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("events_the_newest_are_dropped_where_the_first_count", the_newest_are_dropped),
    ("events_none_is_lost_where_the_process_waits", none_is_lost),
    ("events_a_process_that_waits_can_be_stopped", can_be_stopped),
    ("events_a_successor_waits_too", a_successor_waits_too),
    ("events_are_awaited_under_any_runtime", awaited),
    ("events_a_flood_keeps_within_its_bound", a_flood),
    ("events_a_burst_is_heard_whole_if_so_many_may_wait", a_burst),
    ("events_large_ones_keep_within_a_bound_in_bytes", large_ones),
    ("events_a_listener_may_come_before_the_process_is_ready", a_listener_comes_early),
    ("events_a_listener_may_come_while_a_replacement_does", a_listener_comes_meanwhile),
    ("events_more_may_be_said_at_the_start_than_may_wait", said_at_the_start),
    ("events_what_was_read_is_told_to_a_process_that_had_no_room", read_without_room),
    ("events_a_listener_is_told_to_a_process_that_had_no_room", listened_without_room),
    ("events_one_that_cannot_be_sent_is_counted_and_costs_no_other", cannot_be_sent),
    ("events_none_that_may_wait_is_one", none_may_wait),
    ("events_a_listener_hears_all_in_order_on_one_thread", a_listener_hears_in_order),
    ("events_a_listener_that_panics_harms_nobody", a_listener_panics),
    ("events_a_listener_may_put_another_in_its_place", a_listener_is_replaced),
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

/// More than the line takes at once, and no more than may be unread; the last of them said as the process ends.
fn a_burst(system: &System) {
    let subject = start(system, "e.burst", Overflow::DropOldest(10_000));
    let events = subject.events::<u64>();
    subject.count(5_000).wait().unwrap();
    subject.count(2_000).detach();
    subject.stop(LIMIT);
    let heard: Vec<u64> = std::iter::from_fn(|| events.next_for(LIMIT).ok().flatten()).collect();
    assert!(heard.into_iter().eq((1..=5_000).chain(1..=2_000)), "{} dropped", events.dropped());
    assert_eq!(events.dropped(), 0);
}

/// Some thousand events may wait by default, but not of any size.
fn large_ones(system: &System) {
    let subject = start(system, "e.large", Overflow::default());
    let events = subject.events::<Vec<u8>>();
    subject.count_large(100, 1 << 20, false).wait().unwrap();
    subject.count_large(1, 10, false).wait().unwrap(); // it takes along how many were lost on the way
    let next = || events.next_for(Duration::ZERO).unwrap();
    let mut left = 0;
    wait_until("all are accounted for", || {
        left += std::iter::from_fn(next).filter(|event| event.len() == 1 << 20).count() as u64;
        events.dropped() + left == 100
    });
    assert!(left < 64, "{left} MiB were kept");
}

fn listen(subject: &process::Handle) -> mpsc::Receiver<u64> {
    let (sender, heard) = mpsc::channel();
    subject.on_event(move |event: u64| _ = sender.send(event));
    heard
}

fn hear(heard: &mpsc::Receiver<u64>, count: u64) {
    (1..=count).for_each(|number| assert_eq!(heard.recv_timeout(LIMIT), Ok(number)));
}

fn a_listener_comes_early(system: &System) {
    let wait = std::env::temp_dir().join(format!("framewire-early-{}", std::process::id()));
    std::fs::write(&wait, "").unwrap();
    let config = Config { manner: Manner::WaitsWhileThere(wait.clone()), file: None };
    let starting = system.spawn::<Subject>(config).name("e.early").overflow(Overflow::Wait(4)).begin().unwrap();
    wait_until("it was launched", || starting.handle().process_id().is_some());
    let heard = listen(starting.handle());
    std::fs::remove_file(&wait).unwrap();
    let subject = starting.wait().unwrap();
    subject.count(12).wait_for(LIMIT).unwrap();
    hear(&heard, 12);
}

fn a_listener_comes_meanwhile(system: &System) {
    let wait = std::env::temp_dir().join(format!("framewire-listener-{}", std::process::id()));
    let config = Config { manner: Manner::WaitsWhileThere(wait.clone()), file: None };
    let spawn = system.spawn::<Subject>(config).name("e.meanwhile").overflow(Overflow::Wait(4));
    let subject = spawn.recycle(Recycle::after_calls(1)).start().unwrap();
    std::fs::write(&wait, "").unwrap();
    let changes = system.changes();
    subject.add(1).wait().unwrap();
    wait_until("a replacement is on its way", || {
        changes.recv_timeout(LIMIT).is_some_and(|change| change.replacement.is_some())
    });
    let heard = listen(&subject);
    std::fs::remove_file(&wait).unwrap();
    wait_until("it has taken over", || subject.recycled() == 1);
    subject.count(12).wait_for(LIMIT).unwrap();
    hear(&heard, 12);
    subject.stop(LIMIT);
}

fn said_at_the_start(system: &System) {
    let config = Config { manner: Manner::Says(10), file: None };
    let spawn = system.spawn::<Subject>(config).name("e.start").restart(Restart::always());
    let starting = spawn.overflow(Overflow::Wait(4)).begin().unwrap();
    let events = starting.handle().events::<u64>();
    let read = || (1..=10).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    read();
    let subject = starting.wait().unwrap();
    subject.kill();
    read();
    wait_until("it is back", || subject.add(0).wait_for(LIMIT).is_ok());
    assert_eq!(events.dropped(), 0);
}

fn read_without_room(system: &System) {
    let subject = start(system, "e.room", Overflow::Wait(4));
    let events = subject.events::<u64>();
    subject.count_aloud(12).detach();
    wait_until("it waits", || subject.status().view().get(Number::FramesIn) == 4);
    let pid = freeze(&subject);
    let calls = fill(&subject);
    (1..=4).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    kill_process(pid, Signal::CONT).unwrap();
    (5..=12).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    drop(calls);
}

fn listened_without_room(system: &System) {
    let subject = start(system, "e.deaf", Overflow::Wait(4));
    let pid = freeze(&subject);
    let calls = fill(&subject);
    let heard = listen(&subject);
    kill_process(pid, Signal::CONT).unwrap();
    subject.count(12).wait_for(LIMIT).unwrap();
    hear(&heard, 12);
    drop(calls);
}

fn cannot_be_sent(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("e.starves").limit(Limit::OpenFiles, 64);
    let subject = spawn.overflow(Overflow::Wait(4)).start().unwrap();
    let events = subject.events::<u64>();
    subject.count_large(4, 100_000, true).wait_for(LIMIT).unwrap();
    subject.count(4).wait_for(LIMIT).unwrap();
    (1..=4).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
    assert_eq!(events.dropped(), 4);
}

fn none_may_wait(system: &System) {
    let subject = start(system, "e.none", Overflow::Wait(0));
    let events = subject.events::<u64>();
    subject.count(3).detach();
    (1..=3).for_each(|number| assert_eq!(events.next_for(LIMIT).unwrap(), Some(number)));
}

fn a_listener_hears_in_order(system: &System) {
    let subject = start(system, "e.order", Overflow::default());
    subject.count(3).wait().unwrap();
    let (sender, heard) = mpsc::channel();
    subject.on_event(move |event: u64| {
        let _ = sender.send((thread::current().name().unwrap_or_default().to_owned(), event));
    });
    subject.count(2).wait().unwrap();
    for expected in [1, 2, 3, 1, 2] {
        assert_eq!(heard.recv_timeout(LIMIT), Ok(("supervisor".to_owned(), expected)));
    }
    // Who reads gets nothing while somebody listens.
    assert_eq!(subject.events::<u64>().next_for(Duration::ZERO).unwrap(), None);
}

fn a_listener_panics(system: &System) {
    let subject = start(system, "e.panic", Overflow::Wait(2));
    let (sender, heard) = mpsc::channel();
    subject.on_event(move |event: u64| {
        assert_ne!(event, 2, "what is to be seen here");
        let _ = sender.send(event);
    });
    subject.count(3).wait_for(LIMIT).unwrap();
    assert_eq!((heard.recv_timeout(LIMIT), heard.recv_timeout(LIMIT)), (Ok(1), Ok(3)));
}

fn a_listener_is_replaced(system: &System) {
    let (subject, other) = (start(system, "e.first", Overflow::Wait(2)), start(system, "e.other", Overflow::Wait(2)));
    let (sender, heard) = mpsc::channel();
    let handle = (*subject).clone();
    subject.on_event(move |event: u64| {
        let second = sender.clone();
        let _ = sender.send(event);
        handle.on_event(move |event: u64| _ = second.send(event * 10));
    });
    subject.count(3).wait_for(LIMIT).unwrap();
    let told: Vec<u64> = (0..3).map(|_| heard.recv_timeout(LIMIT).unwrap()).collect();
    assert_eq!(told, [1, 20, 30]);
    other.kill();
    assert!(other.join_for(LIMIT).is_some(), "the supervisor goes on");
}
