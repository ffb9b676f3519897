//! One place to wait for many things.

use std::{
    collections::BTreeSet,
    io::Write,
    os::fd::AsFd,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use process::{Asked, CallError, Select, System};
use rustix::event::{PollFd, PollFlags, poll};

use super::{
    LIMIT, Test,
    calls::start,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("select_a_hundred_answers_a_socket_and_a_timer", a_hundred_answers),
    ("select_hears_of_deaths", hears_of_deaths),
    ("select_events_stay_ready_until_they_are_read", events),
    ("select_is_stopped_from_another_thread", stopped),
    ("select_is_a_descriptor_itself", a_descriptor),
    ("select_timers_and_cancellation", timers),
];

fn a_hundred_answers(system: &System) {
    let begin = |index| system.spawn::<Subject>(Config::default()).name(format!("s{index}")).begin().unwrap();
    let starting: Vec<_> = (0..100).map(begin).collect();
    let subjects: Vec<SubjectHandle> = starting.into_iter().map(|starting| starting.wait().unwrap()).collect();
    let mut select = Select::new().unwrap();
    let asked: Vec<Asked<u64>> =
        subjects.iter().enumerate().map(|(index, subject)| select.call(subject.add(index as u64))).collect();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (socket, timer) = (select.watch(ours).unwrap(), select.timer(Duration::from_millis(30)).unwrap());
    theirs.write_all(b"x").unwrap();
    let mut wanted: BTreeSet<_> = asked.iter().map(Asked::key).chain([socket, timer]).collect();
    while !wanted.is_empty() {
        let ready = select.wait(LIMIT).unwrap().unwrap();
        assert!(!ready.is_empty(), "{} are missing", wanted.len());
        for key in ready {
            wanted.remove(&key);
            if key == socket {
                drop(select.remove(key));
            }
            if let Some(index) = asked.iter().position(|asked| asked.key() == key) {
                assert_eq!(select.answer(&asked[index]).unwrap().unwrap(), index as u64);
                assert!(select.answer(&asked[index]).is_none(), "once");
            }
        }
    }
    assert_eq!(select.wait(Duration::ZERO).unwrap(), Some(Vec::new()));
}

fn hears_of_deaths(system: &System) {
    let subject = start(system, "s.dies");
    let mut select = Select::new().unwrap();
    let end = select.end(&subject);
    let asked = select.call(subject.spin(600_000));
    assert_eq!(select.wait(Duration::from_millis(20)).unwrap(), Some(Vec::new()));
    let begin = Instant::now();
    subject.kill();
    let mut ready = BTreeSet::new();
    while ready.len() < 2 {
        ready.extend(select.wait(LIMIT).unwrap().unwrap());
    }
    assert!(begin.elapsed() < LIMIT / 2, "{:?}", begin.elapsed());
    assert_eq!(ready, BTreeSet::from([end, asked.key()]));
    assert!(matches!(select.answer(&asked), Some(Err(CallError::Died { .. }))));
    // A call to one that is gone has its answer at once.
    let asked = select.call(subject.add(1));
    assert!(select.wait(LIMIT).unwrap().unwrap().contains(&asked.key()));
    assert!(select.answer(&asked).unwrap().is_err());
}

fn events(system: &System) {
    let subject = start(system, "s.events");
    let events = subject.events::<u64>();
    let mut select = Select::new().unwrap();
    let key = select.events(&events);
    assert_eq!(select.wait(Duration::from_millis(20)).unwrap(), Some(Vec::new()));
    subject.count(2).detach();
    for expected in [1, 2] {
        assert_eq!(select.wait(LIMIT).unwrap(), Some(vec![key]));
        assert_eq!(events.next_for(LIMIT).unwrap(), Some(expected));
    }
    assert_eq!(select.wait(Duration::from_millis(20)).unwrap(), Some(Vec::new()));
    subject.leave(0).detach();
    assert_eq!(select.wait(LIMIT).unwrap(), Some(vec![key]), "there will never be any more");
}

fn stopped(_system: &System) {
    let mut select = Select::new().unwrap();
    let stopper = select.stopper();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || (select.wait(LIMIT).unwrap(), select.wait(LIMIT).unwrap()));
        stopper.stop();
        assert_eq!(waiting.join().unwrap(), (None, None));
    });
}

fn a_descriptor(system: &System) {
    let subject = start(system, "s.descriptor");
    let mut select = Select::new().unwrap();
    let is_readable = |select: &Select, limit: Duration| {
        let limit = limit.try_into().unwrap();
        poll(&mut [PollFd::from_borrowed_fd(select.as_fd(), PollFlags::IN)], Some(&limit)).unwrap() == 1
    };
    let asked = select.call(subject.work(300));
    assert_eq!(select.wait(Duration::ZERO).unwrap(), Some(Vec::new()));
    assert!(!is_readable(&select, Duration::ZERO));
    assert!(is_readable(&select, LIMIT));
    assert_eq!(select.wait(LIMIT).unwrap(), Some(vec![asked.key()]));
    assert!(is_readable(&select, Duration::ZERO), "it isn't taken yet");
    select.answer(&asked).unwrap().unwrap();
    assert_eq!(select.wait(Duration::ZERO).unwrap(), Some(Vec::new()));
    assert!(!is_readable(&select, Duration::ZERO));
}

fn timers(system: &System) {
    let subject = start(system, "s.timers");
    let mut select = Select::new().unwrap();
    let begin = Instant::now();
    let every = select.interval(Duration::from_millis(5)).unwrap();
    for _ in 0..5 {
        assert_eq!(select.wait(LIMIT).unwrap(), Some(vec![every]));
    }
    assert!(begin.elapsed() >= Duration::from_millis(25));
    select.remove(every);
    let once = select.timer(Duration::from_millis(1)).unwrap();
    select.remove(once);
    std::thread::sleep(Duration::from_millis(5)); // sleep: past the time of a timer that was taken out
    assert_eq!(select.wait(Duration::from_millis(10)).unwrap(), Some(Vec::new()));
    assert!(select.interval(Duration::ZERO).is_err());
    // A call that is taken out is cancelled.
    wait_until("one is cancelled after it began", || {
        let asked = select.call(subject.work(600_000));
        assert_eq!(select.wait(Duration::from_millis(20)).unwrap(), Some(Vec::new()));
        select.remove(asked.key());
        assert!(select.answer(&asked).is_none());
        subject.was_cancelled().wait_for(LIMIT).unwrap()
    });
}
