//! Callers that wait read the line themselves, in turns with the supervisor: nobody may notice.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use process::{CallError, Exit, Recycle, System};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use shm::status::Number;

use super::{
    LIMIT, Test,
    calls::start,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("reading_two_threads_have_their_own_answers_and_none_waits_for_the_other", two_threads),
    ("reading_a_call_is_waited_for_in_steps", in_steps),
    ("reading_a_late_answer_is_dropped_by_whoever_reads_it", a_late_answer),
    ("reading_what_was_said_before_an_answer_is_heard_before_it", order),
    ("reading_an_event_is_heard_while_a_caller_waits", an_event_meanwhile),
    ("reading_answers_are_counted_whoever_reads_them", counted),
    ("reading_callers_hear_of_a_death_at_once", a_death),
    ("reading_a_caller_hears_of_a_death_though_the_line_stays_open", a_line_that_stays_open),
    ("reading_callers_and_events_and_kills_at_random", at_random),
];

fn is_taken(subject: &SubjectHandle, calls: u64) {
    wait_until("it has begun", || subject.status().view().get(Number::CallsTaken) >= calls);
}

fn two_threads(system: &System) {
    const EACH: u64 = 500;
    let subject = start(system, "r.two");
    let done = [AtomicU64::new(0), AtomicU64::new(0)];
    thread::scope(|scope| {
        for thread in 0..2 {
            let (subject, done) = (&subject, &done);
            scope.spawn(move || {
                let begun = Instant::now();
                // Until the other one has had its share too, however many more calls that takes.
                for number in 0.. {
                    let number = (number * 2 + thread as u64) * 2;
                    assert_eq!(subject.checked_half(number).wait().unwrap(), Ok(number / 2));
                    done[thread].fetch_add(1, Ordering::Relaxed);
                    if done.iter().all(|done| done.load(Ordering::Relaxed) >= EACH) {
                        return;
                    }
                    assert!(begun.elapsed() < LIMIT, "one of them waits for ever: {done:?}");
                }
            });
        }
    });
    println!("     ({done:?} calls)");
    subject.stop(LIMIT);
}

fn in_steps(system: &System) {
    let subject = start(system, "r.steps");
    let mut asked = subject.spin(200).into_future();
    let steps = (0..).take_while(|_| asked.wait_for(Some(Duration::from_millis(1))).is_none()).count();
    assert!(steps > 1, "{steps}");
    let mut asked = subject.add(1).into_future();
    assert_eq!(asked.wait_for(None).unwrap().unwrap(), 1);
    // Asked by blocking, and then awaited.
    let mut asked = subject.spin(300).into_future();
    assert!(asked.wait_for(Some(Duration::ZERO)).is_none());
    futures::executor::block_on(asked).unwrap();
    assert_eq!(subject.add(1).wait().unwrap(), 2);
    subject.stop(LIMIT);
}

fn a_late_answer(system: &System) {
    let subject = start(system, "r.late");
    let mut late = 0;
    for round in 1..10 {
        match subject.spin(20).wait_for(Duration::from_millis(1)) {
            Err(CallError::TimedOut { .. }) => late += 1,
            // This thread was kept from running for as long.
            Ok(()) => {}
            Err(other) => panic!("{other}"),
        }
        assert_eq!(subject.add(1).wait_for(LIMIT).unwrap(), round, "and not the late answer");
    }
    assert!(late > 0);
    subject.stop(LIMIT);
}

/// Each caller finds what was said during its call with whoever listens, although it has read all of it itself, up to
/// the first that was no answer.
fn order(system: &System) {
    let subject = start(system, "r.order");
    let heard = std::sync::Arc::new(Mutex::new(Vec::new()));
    let to = heard.clone();
    subject.on_event(move |event: u64| to.lock().unwrap().push(event));
    for round in 1..200 {
        let events = round % 4;
        subject.count(events).wait().unwrap();
        let expected: Vec<u64> = (1..=events).collect();
        assert_eq!(std::mem::take(&mut *heard.lock().unwrap()), expected, "round {round}");
    }
    subject.stop(LIMIT);
}

fn an_event_meanwhile(system: &System) {
    let subject = start(system, "r.meanwhile");
    let events = subject.events::<u64>();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| subject.say_and_work(7, 600_000).wait());
        assert_eq!(events.next_for(LIMIT).unwrap(), Some(7), "while the one who has read it waits for its answer");
        // Two more ways to wait meanwhile.
        let limited = scope.spawn(|| subject.add(1).wait_for(Duration::from_millis(50)));
        assert!(matches!(limited.join().unwrap(), Err(CallError::TimedOut { .. })));
        subject.kill();
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Died { how: Exit::Signal(9), .. })));
    });
}

fn counted(system: &System) {
    const CALLS: u64 = 30;
    let policy = Recycle::after_calls(CALLS);
    let subject = system.spawn::<Subject>(Config::default()).name("r.counted").recycle(policy).start().unwrap();
    for round in 1..4 {
        let first = subject.pid().wait().unwrap();
        for _ in 2..CALLS {
            assert_eq!(subject.pid().wait().unwrap(), first);
        }
        assert_eq!(subject.recycled(), round - 1);
        subject.pid().wait().unwrap();
        // Nobody calls any more who could bring it about.
        wait_until("it was replaced", || subject.recycled() == round);
    }
    subject.stop(LIMIT);
}

fn a_death(system: &System) {
    const ROUNDS: usize = 20;
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let subject = start(system, &format!("r.death{round}"));
            thread::scope(|scope| {
                // One reads, and the others wait for what it reads.
                let call = |_| scope.spawn(|| (subject.work(600_000).wait(), Instant::now()));
                let calls: Vec<_> = (0..3).map(call).collect();
                is_taken(&subject, 1);
                let killed = Instant::now();
                subject.kill();
                let longest = calls.into_iter().map(|call| {
                    let (told, at) = call.join().unwrap();
                    assert!(matches!(told, Err(CallError::Died { how: Exit::Signal(9), .. })), "{told:?}");
                    at.duration_since(killed)
                });
                longest.max().unwrap()
            })
        })
        .collect();
    took.sort();
    println!("     (known after {:?}, at most {:?})", took[ROUNDS / 2], took[ROUNDS - 1]);
    // Of a machine that does much else the slowest says little.
    assert!(took[ROUNDS / 2] < Duration::from_millis(100), "{took:?}");
}

/// A child of its own, or whoever took its descriptors, may hold the line. A caller that sleeps there hears of the end
/// from the supervisor only.
fn a_line_that_stays_open(system: &System) {
    let subject = start(system, "r.open");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| subject.work(600_000).wait());
        is_taken(&subject, 1);
        let pid = subject.process_id().unwrap();
        let theirs = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        let sockets = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().filter_map(|entry| {
            let path = entry.unwrap().path();
            let is_socket = fs::read_link(&path).ok()?.to_string_lossy().starts_with("socket:");
            let number = path.file_name()?.to_str()?.parse().ok()?;
            is_socket.then(|| pidfd_getfd(&theirs, number, PidfdGetfdFlags::empty()).unwrap())
        });
        let sockets: Vec<_> = sockets.collect();
        assert!(!sockets.is_empty());
        subject.kill();
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Died { how: Exit::Signal(9), .. })));
        drop(sockets);
    });
}

/// Blocking callers with and without limits, an awaiting one, and a process that says much and is killed now and then: each call
/// ends, answers are each caller's own, and events stay in order.
fn at_random(system: &System) {
    let restart = process::Restart::always().at_most(1000).longest_delay(Duration::from_millis(2));
    let subject = system.spawn::<Subject>(Config::default()).name("r.random").restart(restart).start().unwrap();
    let last = AtomicU64::new(0);
    subject.on_event(move |event: u64| {
        // From 1 on, each time.
        let before = last.swap(event, Ordering::Relaxed);
        assert!(event == 1 || event == before + 1, "{event} after {before}");
    });
    let end = Instant::now() + Duration::from_secs(2);
    let answered = AtomicU64::new(0);
    let ok = |told: Result<Result<u64, String>, CallError>, number: u64| match told {
        Ok(half) => {
            assert_eq!(half, Ok(number / 2));
            answered.fetch_add(1, Ordering::Relaxed);
        }
        Err(CallError::Died { .. } | CallError::NotRunning { .. } | CallError::TimedOut { .. }) => {}
        Err(other) => panic!("{other}"),
    };
    let numbers = |thread: u64| (0..).map(move |number| (number * 8 + thread) * 2).take_while(|_| Instant::now() < end);
    thread::scope(|scope| {
        let (subject, ok) = (&subject, &ok);
        for thread in 0..2 {
            scope.spawn(move || numbers(thread).for_each(|number| ok(subject.checked_half(number).wait(), number)));
        }
        scope.spawn(move || {
            let hasty = Duration::from_micros(50);
            numbers(2).for_each(|number| ok(subject.checked_half(number).wait_for(hasty), number));
        });
        scope.spawn(move || {
            numbers(3).for_each(|number| {
                ok(futures::executor::block_on(subject.checked_half(number).into_future()), number);
            });
        });
        scope.spawn(move || numbers(4).for_each(|number| drop(subject.count(number % 5).wait())));
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(40)); // sleep: the time between two kills
            subject.kill();
        }
    });
    println!("     ({} answers, {} restarts)", answered.load(Ordering::Relaxed), subject.restarts());
    wait_until("it answers after all that", || subject.checked_half(8).wait_for(LIMIT).is_ok());
    subject.stop(LIMIT);
}
