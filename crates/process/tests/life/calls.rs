//! Every way in which a call can end.

use std::{
    future::{Future, IntoFuture},
    io::Write,
    task::Poll,
    time::{Duration, Instant},
};

use process::{Blob, CallError, DuringRestart, Restart, System};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use shm::{status::Number, wire::Passed};

use super::{
    LIMIT, Test,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("a_call_is_answered", a_call_is_answered),
    ("a_command_is_called_as_in_rust_and_is_there_where_it_is_compiled", keywords_and_conditions),
    ("the_handlers_own_error_comes_back_as_it_is", the_handlers_own_error_comes_back_as_it_is),
    ("a_panic_in_a_handler_is_the_calls_error_and_the_process_lives", a_panic_in_a_handler),
    ("arguments_and_answers_of_any_size", arguments_and_answers_of_any_size),
    ("descriptors_travel_in_configuration_and_commands", descriptors_travel),
    ("a_limit_ends_a_wait_and_the_late_answer_is_dropped", a_limit_ends_a_wait),
    ("calls_are_awaited_under_any_runtime", calls_are_awaited),
    ("a_call_that_is_dropped_before_it_began_is_never_run", a_dropped_call),
    ("calls_from_many_threads_get_their_own_answers", many_threads),
    ("events_come_in_order_and_the_oldest_are_dropped_and_counted", events),
    ("calls_that_wait_outlive_a_restart", calls_that_wait),
    ("a_panics_trace_comes_back", a_trace),
    ("a_handler_sees_that_it_is_cancelled", a_handler_sees),
    ("calls_are_taken_and_refused_and_cancelled_while_a_handler_computes", while_it_computes),
    ("a_handler_that_computes_amid_quick_calls_hears_that_it_was_cancelled", amid_quick_calls),
    ("a_refused_call_is_answered_though_the_parent_reads_late", refused),
    ("a_large_message_without_a_descriptor_for_it_is_that_calls_error", no_descriptor),
    ("a_hundred_megabytes_there_and_back", a_hundred_megabytes),
];

pub fn start(system: &System, name: &str) -> SubjectHandle {
    system.spawn::<Subject>(Config::default()).name(name).start().unwrap()
}

fn a_call_is_answered(system: &System) {
    let subject = start(system, "a");
    assert_eq!(subject.add(2).wait().unwrap(), 2);
    subject.add(3).detach();
    assert_eq!(subject.add(1).wait_for(LIMIT).unwrap(), 6);
    subject.stop(LIMIT);
    assert!(matches!(subject.add(1).wait(), Err(CallError::Died { .. })));
}

fn keywords_and_conditions(system: &System) {
    let subject = start(system, "a");
    assert_eq!(subject.r#move(7).wait().unwrap(), 7);
    assert!(subject.here().wait().unwrap());
    subject.stop(LIMIT);
}

fn the_handlers_own_error_comes_back_as_it_is(system: &System) {
    let subject = start(system, "a");
    assert_eq!(subject.checked_half(4).wait().unwrap(), Ok(2));
    assert_eq!(subject.checked_half(5).wait().unwrap(), Err("5 is odd".to_owned()));
    subject.stop(LIMIT);
}

fn a_panic_in_a_handler(system: &System) {
    let subject = start(system, "a");
    let told = subject.panic("oh".to_owned()).wait().unwrap_err();
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("oh")), "{told}");
    assert_eq!(subject.add(1).wait().unwrap(), 1);
    subject.stop(LIMIT);
}

fn arguments_and_answers_of_any_size(system: &System) {
    let subject = start(system, "a");
    for size in [0, 65_000, 66_000, 2_000_001] {
        let bytes: Vec<u8> = (0..size).map(|index: usize| index as u8).collect();
        let mut answer = subject.reverse(bytes.clone()).wait().unwrap();
        answer.reverse();
        assert!(answer == bytes, "{size} bytes");
    }
    subject.stop(LIMIT);
}

fn descriptors_travel(system: &System) {
    let pipe = |text: &str| {
        let (read, mut write) = std::io::pipe().unwrap();
        write.write_all(text.as_bytes()).unwrap();
        Passed::new(read)
    };
    let config = Config { file: Some(pipe("first, ")), ..Config::default() };
    let subject = system.spawn::<Subject>(config).name("a").start().unwrap();
    assert_eq!(subject.read(pipe("second")).wait().unwrap().unwrap(), "first, second");
    subject.stop(LIMIT);
}

fn a_limit_ends_a_wait(system: &System) {
    let subject = start(system, "a");
    let told = subject.spin(300).wait_for(Duration::from_millis(20)).unwrap_err();
    assert!(matches!(told, CallError::TimedOut { .. }), "{told}");
    assert_eq!(subject.add(1).wait().unwrap(), 1, "and not the late answer");
    subject.stop(LIMIT);
}

fn calls_are_awaited(system: &System) {
    let subject = start(system, "a");
    futures::executor::block_on(async {
        assert_eq!(subject.add(40).await.unwrap(), 40);
        assert_eq!(subject.add(2).await.unwrap(), 42);
    });
    subject.stop(LIMIT);
}

fn a_dropped_call(system: &System) {
    let subject = start(system, "a");
    subject.spin(300).detach(); // keeps it from looking at the next one
    let mut dropped = Box::pin(std::future::IntoFuture::into_future(subject.add(100)));
    let waker = futures::task::noop_waker();
    let polled = dropped.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(dropped);
    assert_eq!(subject.add(1).wait().unwrap(), 1);
    subject.stop(LIMIT);
}

fn many_threads(system: &System) {
    let subject = start(system, "a");
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let subject = &subject;
            scope.spawn(move || {
                for round in 0..200u64 {
                    let number = (thread * 1000 + round) * 2;
                    assert_eq!(subject.checked_half(number).wait().unwrap(), Ok(number / 2));
                }
            });
        }
    });
    subject.stop(LIMIT);
}

fn events(system: &System) {
    let subject = start(system, "a");
    let events = subject.events::<u64>();
    subject.count(3).wait().unwrap();
    let three: Vec<_> = (0..3).map(|_| events.next_for(LIMIT).unwrap()).collect();
    assert_eq!(three, [Some(1), Some(2), Some(3)]);
    for _ in 0..20 {
        subject.count(100).wait().unwrap();
    }
    wait_until("some are dropped", || events.dropped() == 2000 - 1024);
    subject.stop(LIMIT);
    let left: Vec<u64> = std::iter::from_fn(|| events.next_for(Duration::ZERO).unwrap()).collect();
    assert_eq!(left.len(), 1024);
}

fn a_trace(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("c.trace").env("RUST_BACKTRACE", "1");
    let subject = spawn.start().unwrap();
    let Err(CallError::HandlerFailed { why, trace, .. }) = subject.panic("oh".to_owned()).wait() else { panic!("no") };
    assert!(why.starts_with("it panicked: oh at ") && why.contains("subject.rs:"), "{why}");
    assert!(trace.unwrap().contains("Subject"), "the stack names the handler");
    let spawn = system.spawn::<Subject>(Config::default()).name("c.trace2").env_remove("RUST_BACKTRACE");
    let told = spawn.start().unwrap().panic("oh".to_owned()).wait().unwrap_err();
    assert!(matches!(told, CallError::HandlerFailed { trace: None, .. }), "{told}");
}

fn a_handler_sees(system: &System) {
    let subject = start(system, "c.cancel");
    wait_until("one is cancelled after it began", || {
        let told = subject.work(600_000).wait_for(Duration::from_millis(30)).unwrap_err();
        assert!(matches!(told, CallError::TimedOut { .. }), "{told}");
        subject.was_cancelled().wait().unwrap()
    });
    subject.work(1).wait().unwrap();
    assert!(!subject.was_cancelled().wait().unwrap(), "and the next one isn't");
}

/// Far more calls than a socket holds: they are read although the event loop is busy, and so is what ends that.
fn while_it_computes(system: &System) {
    const MOST: u64 = 4096;
    let subject = start(system, "c.busy");
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut working = Box::pin(subject.work(600_000).into_future());
    assert!(working.as_mut().poll(&mut context).is_pending());
    wait_until("it computes", || subject.status().view().get(Number::CallsTaken) == 1);
    let mut waiting = Vec::new();
    waiting.resize_with(MOST as usize, || Box::pin(subject.add(1).into_future()));
    wait_until("the next one is refused", || {
        for call in &mut waiting {
            // Or it is put now: there wasn't room for all at once.
            assert!(call.as_mut().poll(&mut context).is_pending(), "it computes, and has answered");
        }
        match subject.add(1_000_000).wait_for(Duration::from_millis(100)).unwrap_err() {
            CallError::TimedOut { .. } => false,
            told => {
                assert!(
                    matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("4096 calls wait already")),
                    "{told}"
                );
                true
            }
        }
    });
    drop(working); // it hears of that while it computes, or this would take ten minutes
    let mut answers: Vec<u64> = waiting.into_iter().map(|call| futures::executor::block_on(call).unwrap()).collect();
    assert!(answers[..200].is_sorted(), "those for which there was room at once are done in order: {answers:?}");
    answers.sort_unstable();
    assert!(answers.into_iter().eq(1..=MOST), "each once");
    assert!(subject.was_cancelled().wait().unwrap());
    subject.stop(LIMIT);
}

/// Quick calls in a row are looked for by the event loop alone; that mustn't last while a handler computes.
fn amid_quick_calls(system: &System) {
    let subject = start(system, "c.quick");
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..50 {
        for _ in 0..20 {
            subject.add(0).wait().unwrap();
        }
        let taken = subject.status().view().get(Number::CallsTaken);
        let mut working = Box::pin(subject.work(600_000).into_future());
        assert!(working.as_mut().poll(&mut context).is_pending());
        wait_until("it computes", || subject.status().view().get(Number::CallsTaken) > taken);
        drop(working);
        assert!(subject.was_cancelled().wait_for(LIMIT).unwrap());
    }
    subject.stop(LIMIT);
}

/// The supervisor is held up, so nobody reads what the process says: it refuses more calls than its line has room for.
fn refused(system: &System) {
    const CALLS: usize = 6000;
    let subject = start(system, "c.refused");
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begins, begun) = std::sync::mpsc::channel();
    subject.on_event(move |_: u64| {
        let _ = begins.send(());
        let _ = held.recv();
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut computing = Box::pin(subject.say_and_work(1, 600_000).into_future());
    assert!(computing.as_mut().poll(&mut context).is_pending());
    begun.recv_timeout(LIMIT).unwrap();
    let mut waiting: Vec<_> = (0..CALLS).map(|_| Box::pin(subject.checked_half(4).into_future())).collect();
    let mut refused = 0;
    let mut look = || {
        waiting.retain_mut(|call| match call.as_mut().poll(&mut context) {
            Poll::Pending => true,
            Poll::Ready(answer) => {
                let told = answer.unwrap_err();
                assert!(
                    matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("ask more slowly")),
                    "{told}"
                );
                refused += 1;
                false
            }
        });
        waiting.len()
    };
    look();
    let end = Instant::now() + Duration::from_millis(300);
    // As many as there is room for, in the process and on both ways; how long that takes nobody tells.
    while Instant::now() < end {
        look();
    }
    drop(release);
    // Its own queue, and the 4,096 that are in it: all others are refused, and hear it.
    wait_until("all others are refused", || look() == 4096);
    assert_eq!(refused, CALLS - 4096);
    subject.kill();
    for call in waiting {
        let told = futures::executor::block_on(call).unwrap_err();
        assert!(matches!(told, CallError::Died { .. }), "{told}");
    }
    drop(computing);
    subject.stop(LIMIT);
}

/// On either side: a process that may open no more files still lives, and is no worse than that.
fn no_descriptor(system: &System) {
    const LARGE: usize = 100_000;
    let subject = start(system, "c.descriptor");
    let pid = subject.pid().wait().unwrap();
    assert!(subject.hoard().wait_for(LIMIT).unwrap() > 0);
    let told = subject.length(vec![1; LARGE]).wait_for(LIMIT).unwrap_err();
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("too many open")), "{told}");
    let (passed, _other) = std::io::pipe().unwrap();
    let told = subject.read(Passed::new(passed)).wait_for(LIMIT).unwrap_err();
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("too many open")), "{told}");
    assert_eq!(subject.hoard().wait_for(LIMIT).unwrap(), 0);
    assert_eq!(subject.length(vec![1; LARGE]).wait_for(LIMIT).unwrap(), LARGE);
    // Here: read by whoever waits, and by the supervisor.
    let limit = getrlimit(Resource::Nofile);
    let lower = || setrlimit(Resource::Nofile, Rlimit { current: Some(3), ..limit }).unwrap();
    lower();
    let by_caller = subject.bytes(LARGE).wait_for(LIMIT);
    let by_supervisor = futures::executor::block_on(subject.bytes(LARGE).into_future());
    let small = subject.bytes(1).wait_for(LIMIT);
    setrlimit(Resource::Nofile, limit).unwrap();
    for told in [by_caller, by_supervisor] {
        let told = told.unwrap_err();
        assert!(matches!(&told, CallError::BadMessage { why, .. } if why.contains("too many open")), "{told}");
    }
    assert_eq!(small.unwrap().len(), 1);
    assert_eq!(subject.bytes(LARGE).wait_for(LIMIT).unwrap().len(), LARGE);
    assert_eq!((subject.pid().wait().unwrap(), subject.restarts()), (pid, 0), "it is the same process");
    subject.stop(LIMIT);
}

fn a_hundred_megabytes(system: &System) {
    const BYTES: usize = 100 << 20;
    let subject = start(system, "c.large");
    let bytes: Vec<u8> = (0..BYTES).map(|index| (index >> 8) as u8).collect();
    let begin = Instant::now();
    let blob = Blob::new(&bytes).unwrap();
    let back = subject.echo(blob).wait().unwrap();
    let took = begin.elapsed();
    assert!(back[..] == bytes[..]);
    println!("     (there and back: {:.2} GB/s)", BYTES as f64 / took.as_secs_f64() / 1e9);
    // As a plain vector too, if not as fast.
    if !cfg!(debug_assertions) {
        let begin = Instant::now();
        assert_eq!(subject.length(bytes).wait().unwrap(), BYTES);
        println!("     (a Vec<u8>, there: {:.2} GB/s)", BYTES as f64 / begin.elapsed().as_secs_f64() / 1e9);
    }
}

fn calls_that_wait(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("c.wait").restart(Restart::always().at_most(20));
    let subject = spawn.during_restart(DuringRestart::Wait).start().unwrap();
    for _ in 0..5 {
        // In flight, and a new one while it is down.
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| subject.work(30).wait());
            subject.kill();
            assert!(subject.add(1).wait_for(LIMIT).unwrap() > 0);
            slow.join().unwrap().unwrap();
        });
        futures::executor::block_on(async {
            let slow = subject.work(30);
            subject.kill();
            slow.await.unwrap();
        });
    }
    // Its limit holds, and its end ends it.
    let died = Instant::now();
    subject.kill();
    let told = (0..1000).find_map(|_| subject.work(1000).wait_for(Duration::from_millis(1)).err()).unwrap();
    assert!(matches!(told, CallError::TimedOut { .. }) && died.elapsed() < Duration::from_secs(1), "{told}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| subject.spin(600_000).wait());
        subject.stop(Duration::from_millis(50));
        assert!(matches!(waiting.join().unwrap(), Err(CallError::Died { .. })));
    });
}
