//! Every way in which an asynchronous command can end, beside by itself.

use std::{
    io::{PipeReader, Read},
    time::{Duration, Instant},
};

use process::{CallError, DuringRestart, Exit, Restart, System};
use rustix::process::{Pid, Signal, kill_process};
use shm::wire::Passed;

use super::{
    LIMIT, Test, ask,
    limit::start,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
    wide::Wide,
};

pub const TESTS: &[Test] = &[
    ("a_cancelled_call_is_dropped_where_it_awaits", a_cancelled_call_is_dropped),
    ("a_limit_that_is_over_drops_the_call_too", a_limit_drops),
    ("cancellations_reach_a_process_that_had_no_room_for_them", no_room),
    ("a_panic_after_an_await_is_that_calls_error_with_its_trace", a_panic),
    ("a_panic_in_a_destructor_harms_nobody", a_panicking_destructor),
    ("a_turn_within_a_turn_is_an_error_that_says_so", a_turn_within_a_turn),
    ("a_kill_ends_all_calls_in_flight", a_kill),
    ("calls_in_flight_are_put_again_if_that_is_wanted", put_again),
    ("a_stop_lets_running_calls_end_and_takes_no_others", a_stop_waits),
    ("a_stop_drops_what_does_not_end_and_comes_to_stop", a_stop_drops),
    ("a_stop_at_once_drops_them_at_once", a_stop_at_once),
    ("a_process_is_not_reached_after_its_stop", not_reached_after_stop),
];

fn a_cancelled_call_is_dropped(system: &System) {
    let subject = start(system, "ends");
    let (dropped, kept) = (ask(subject.hold(1)), ask(subject.hold(2)));
    wait_until("both run", || subject.counts().wait().unwrap().running == 2);
    drop(dropped);
    wait_until("its destructors have run", || subject.counts().wait().unwrap().running == 1);
    assert!(!subject.release(1).wait().unwrap(), "nobody waits for it in the process");
    assert!(!subject.is_cancelled().wait().unwrap(), "that was about another");
    assert!(subject.release(2).wait().unwrap());
    assert_eq!(kept.wait().unwrap(), 4);
    subject.stop(LIMIT);
}

fn a_limit_drops(system: &System) {
    let subject = start(system, "ends");
    let told = subject.hold(1).wait_for(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(told, CallError::TimedOut { .. }), "{told}");
    wait_until("it is dropped", || subject.counts().wait().unwrap().running == 0);
    subject.stop(LIMIT);
}

fn no_room(system: &System) {
    let wide = system.spawn::<Wide>(()).name("ends").start().unwrap();
    let pid = Pid::from_raw(wide.process_id().unwrap()).unwrap();
    let mut asked: Vec<_> = (0..100).map(|key| ask(wide.hold(key))).collect();
    assert_eq!(wide.running().wait().unwrap(), 100);
    kill_process(pid, Signal::STOP).unwrap();
    // More than its socket has room for: the last ones aren't even sent.
    asked.extend((100..600).map(|key| ask(wide.hold(key))));
    drop(asked);
    kill_process(pid, Signal::CONT).unwrap();
    wait_until("it has dropped them all", || wide.running().wait().unwrap() == 0);
    let last = ask(wide.hold(3));
    wide.release(vec![3]).wait().unwrap();
    assert_eq!(last.wait().unwrap(), Some((3, 9)));
    wide.stop(LIMIT);
}

fn a_panic(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("ends").env("RUST_BACKTRACE", "1");
    let subject = spawn.start().unwrap();
    let other = ask(subject.hold(1));
    let told = subject.panic_later("oh".to_owned(), 2).wait().unwrap_err();
    let CallError::HandlerFailed { why, trace, .. } = &told else { panic!("{told}") };
    assert!(why.contains("panicked: oh at ") && why.contains("subject.rs"), "{why}");
    assert!(trace.as_ref().is_some_and(|trace| trace.contains("panic_later")), "{trace:?}");
    assert_eq!(subject.counts().wait().unwrap().running, 1, "its future is gone");
    assert!(subject.release(1).wait().unwrap());
    assert_eq!(other.wait().unwrap(), 2);
    subject.stop(LIMIT);
}

fn a_panicking_destructor(system: &System) {
    let subject = start(system, "ends");
    let (dropped, answered) = (ask(subject.hold_a_grudge(1)), ask(subject.hold_a_grudge(2)));
    wait_until("both run", || subject.counts().wait().unwrap().running == 2);
    drop(dropped);
    wait_until("it is dropped", || subject.counts().wait().unwrap().running == 1);
    assert!(subject.release(2).wait().unwrap());
    let told = answered.wait().unwrap_err();
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("dropped")), "{told}");
    assert_eq!((subject.ping(1).wait().unwrap(), subject.counts().wait().unwrap().running), (1, 0));
    subject.stop(LIMIT);
}

fn a_turn_within_a_turn(system: &System) {
    let subject = start(system, "ends");
    let told = subject.reenter().wait().unwrap_err();
    let says_so = |why: &str| why.contains("in use further up on this stack") && why.contains("subject.rs");
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if says_so(why)), "{told}");
    assert_eq!(subject.ping(1).wait().unwrap(), 1, "and it is free again");
    subject.stop(LIMIT);
}

fn a_kill(system: &System) {
    let subject = start(system, "ends");
    let asked: Vec<_> = (0..20).map(|key| ask(subject.hold(key))).collect(); // running and waiting
    subject.ping(1).wait().unwrap();
    subject.kill();
    for asked in asked {
        let told = asked.wait().unwrap_err();
        assert!(matches!(told, CallError::Died { how: Exit::Signal(9), .. }), "{told}");
    }
}

fn put_again(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("ends").restart(Restart::on_failure());
    let subject = spawn.during_restart(DuringRestart::Wait).start().unwrap();
    let asked = ask(subject.hold(7));
    wait_until("it runs", || subject.counts().wait().unwrap().running == 1);
    let first = subject.process_id();
    subject.kill();
    // It is a signal: until it arrives the first one would answer.
    wait_until("there is another one", || ![None, first].contains(&subject.process_id()));
    let (answer, ()) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| asked.wait());
        wait_until("it runs in the next one", || subject.release(7).wait().unwrap());
        (waiting.join().unwrap(), ())
    });
    assert_eq!(answer.unwrap(), 14);
    assert_ne!(subject.process_id(), first);
    subject.stop(LIMIT);
}

/// One whose last words can be read.
fn start_with_words(system: &System) -> (SubjectHandle, PipeReader) {
    let (words, write) = std::io::pipe().unwrap();
    let config = Config { last_words: Some(Passed::new(write)) };
    (system.spawn::<Subject>(config).name("ends").start().unwrap(), words)
}

fn read(mut words: PipeReader) -> String {
    let mut text = String::new();
    words.read_to_string(&mut text).unwrap();
    text
}

fn a_stop_waits(system: &System) {
    let (subject, words) = start_with_words(system);
    let napping = ask(subject.nap(100));
    wait_until("it runs", || subject.counts().wait().unwrap().running == 1);
    let begun = Instant::now();
    subject.stop(LIMIT);
    assert!(begun.elapsed() < LIMIT / 4, "as soon as it has ended");
    assert_eq!(napping.wait().unwrap(), 1);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    let told = subject.ping(1).wait().unwrap_err();
    assert!(matches!(told, CallError::Died { how: Exit::Code(0), .. }), "{told}");
    drop(subject);
    assert_eq!(read(words), "stopped with 0");
}

fn a_stop_drops(system: &System) {
    let (subject, words) = start_with_words(system);
    let asked: Vec<_> = (0..20).map(|key| ask(subject.hold(key))).collect();
    subject.ping(1).wait().unwrap();
    let grace = Duration::from_secs(4);
    let begun = Instant::now();
    subject.stop(grace);
    assert!(begun.elapsed() >= grace / 4, "they had their time");
    assert_eq!(subject.exit(), Some(Exit::Code(0)), "by itself, and not by SIGTERM");
    for asked in asked {
        let told = asked.wait().unwrap_err();
        assert!(matches!(told, CallError::Died { how: Exit::Code(0), .. }), "{told}");
    }
    drop(subject);
    assert_eq!(read(words), "stopped with 0", "all destructors have run before");
}

fn a_stop_at_once(system: &System) {
    let subject = start(system, "ends");
    let asked = ask(subject.hold(1));
    subject.ping(1).wait().unwrap();
    subject.stop(Duration::ZERO);
    let told = asked.wait().unwrap_err();
    assert!(matches!(told, CallError::Died { .. }), "{told}");
}

fn not_reached_after_stop(system: &System) {
    let subject = start(system, "ends");
    subject.keep().wait().unwrap();
    subject.stop(LIMIT);
    let exit = subject.exit().unwrap();
    assert!(matches!(&exit, Exit::Panic(why) if why.contains("the subject has stopped")), "{exit}");
}
