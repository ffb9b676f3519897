//! A synchronised call of valkka-multiprocess hangs if the other side dies or its handler fails.

use std::{
    thread,
    time::{Duration, Instant},
};

use process::{CallError, Exit, Restart, System};
use rustix::process::{Pid, Signal, kill_process};
use shm::{arena::Arena, status::Number};

use super::{
    rounds::{PROMISED, answers, kill, start},
    runner::{LIMIT, Test, wait_until},
    subject::{Begun, Config, Subject},
};

pub const TESTS: &[Test] = &[
    ("a_call_ends_when_the_process_is_killed", killed),
    ("a_call_ends_when_its_handler_fails", fails),
    ("a_thousand_calls_end_with_processes_killed_at_random", at_random),
];

fn killed(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let begun = Begun::create(&arena);
    answers(|| {
        let subject = start(system, "victim");
        thread::scope(|scope| {
            let asking = scope.spawn(|| subject.stay(begun.clone()).wait_for(LIMIT));
            let killed = kill(begun.wait());
            let told = asking.join().unwrap().unwrap_err();
            assert!(matches!(told, CallError::Died { how: Exit::Signal(9), .. }), "{told}");
            killed.elapsed()
        })
    });
}

fn fails(system: &System) {
    let subject = start(system, "fails");
    answers(|| {
        let asked = Instant::now();
        let told = subject.panic().wait_for(LIMIT).unwrap_err();
        assert!(matches!(told, CallError::HandlerFailed { .. }), "{told}");
        asked.elapsed()
    });
    assert_eq!(subject.square(2).wait().unwrap(), 4, "and it lives");
}

/// Called without a pause, and killed at ever other points of a call: on its way there, in the handler, on its way back, and
/// while it isn't ready again. Each caller hears of it, and of nothing else.
fn at_random(system: &System) {
    const ROUNDS: usize = 1000;
    let restart = Restart::always().at_most(10 * ROUNDS as u32).longest_delay(Duration::ZERO);
    let subject = system.spawn::<Subject>(Config).name("victim").restart(restart).start().unwrap();
    let mut took = Vec::with_capacity(ROUNDS);
    let mut seed = 1u64;
    while took.len() < ROUNDS {
        wait_until("it is back", || subject.square(0).wait_for(LIMIT).is_ok());
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause = Duration::from_nanos((seed >> 33) % 2_000_000);
        thread::scope(|scope| {
            let calling = scope.spawn(|| {
                for bytes in [0, 100, 30_000, 100_000].into_iter().cycle() {
                    match subject.reverse(vec![7; bytes]).wait() {
                        Ok(answer) => assert_eq!(answer.len(), bytes),
                        Err(error) => return (error, Instant::now()),
                    }
                }
                unreachable!("it calls until it is told of a death")
            });
            // A kill between two calls is noticed by none of them if its successor is quick: then again.
            let (round, mut killed, mut victim) = (Instant::now(), Instant::now(), 0);
            while !calling.is_finished() {
                let begun = Instant::now();
                while begun.elapsed() < pause && !calling.is_finished() {
                    std::hint::spin_loop();
                }
                let pid = subject.status().view().get(Number::Pid) as i32;
                if pid != victim && !calling.is_finished() {
                    victim = pid;
                    killed = kill_if_there(pid).unwrap_or(killed);
                }
                assert!(round.elapsed() < LIMIT, "nobody is told");
            }
            let (told, heard) = calling.join().unwrap();
            // The one that was killed may have been a successor that wasn't ready yet.
            assert!(matches!(&told, CallError::Died { how, .. } if how.number() == Some(-9)), "{told}");
            took.push(heard.saturating_duration_since(killed));
        });
    }
    took.sort_unstable();
    let at = |percent: usize| took[ROUNDS * percent / 100 - 1];
    let (median, worst) = (at(50), took[ROUNDS - 1]);
    println!("     (told within {median:.1?}; 95 of 100 {:.1?}, 99 {:.1?}, all {worst:.1?})", at(95), at(99));
    assert!(at(95) <= PROMISED && worst < LIMIT / 4);
    subject.stop(LIMIT);
}

/// The supervisor may have reaped it since: then this is nobody.
fn kill_if_there(pid: i32) -> Option<Instant> {
    let now = Instant::now();
    kill_process(Pid::from_raw(pid)?, Signal::KILL).is_ok().then_some(now)
}
