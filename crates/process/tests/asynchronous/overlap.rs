//! Ten thousand calls in flight at once.

use std::{thread, time::Duration};

use process::{CallError, System};

use super::{
    Asked, LIMIT, Test, ask, wait_until,
    wide::{Wide, WideHandle},
};

pub const TESTS: &[Test] = &[
    ("ten_thousand_overlapping_calls_get_their_own_answers", overlapping),
    ("ten_thousand_calls_end_with_their_process", all_die),
];

const CALLS: u64 = 10_000;

/// Numbers that look random, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// It is answered with its key and the key's square.
type Held = Asked<Option<(u64, u64)>>;

fn hold_all(wide: &WideHandle) -> Vec<(u64, Held)> {
    let mut all: Vec<_> = (0..CALLS).map(|key| (key, ask(wide.hold(key)))).collect();
    // Those for which there was no room at once are put when they are looked at again.
    wait_until("all are under way", || {
        for (_, asked) in &mut all {
            assert!(asked.look().is_none());
        }
        wide.running().wait().unwrap() as u64 == CALLS
    });
    all
}

fn overlapping(system: &System) {
    let wide = system.spawn::<Wide>(()).start().unwrap();
    let mut asked = hold_all(&wide);
    assert_eq!(wide.running().wait().unwrap() as u64, CALLS, "all at once");
    thread::scope(|scope| {
        // Others, whose limits are over at about the time at which they are answered.
        let (wide, others) = (&wide, 0..8u64);
        for other in others {
            scope.spawn(move || limited(wide, CALLS + other * 1000));
        }
        let mut chance = Chance(7);
        let (mut answered, mut dropped) = (0, 0);
        // Released out of order, a batch at a time; some are cancelled before, some just after.
        while !asked.is_empty() {
            let size = asked.len().min(50);
            let mut batch: Vec<_> =
                (0..size).map(|_| asked.swap_remove(chance.below(asked.len() as u64) as usize)).collect();
            let keys: Vec<u64> = batch.iter().map(|(key, _)| *key).collect();
            let early = batch.len() / 5;
            dropped += batch.drain(..early).count();
            wide.release(keys).detach();
            let late = batch.len() / 5;
            dropped += batch.drain(..late).count();
            for (key, asked) in batch {
                assert_eq!(asked.wait().unwrap(), Some((key, key * key)));
                answered += 1;
            }
        }
        assert_eq!(answered + dropped as u64, CALLS);
        assert!(answered > CALLS / 2 && dropped > 1000, "{answered} {dropped}");
    });
    wait_until("no call is left in the process", || wide.running().wait().unwrap() == 0);
    wait_until("nor on this side", || format!("{wide:?}").contains("pending: {}")); // or it is locked just now
    wide.stop(LIMIT);
}

/// Calls with limits about as long as they take.
fn limited(wide: &WideHandle, first: u64) {
    let mut chance = Chance(first);
    let mut timed_out = 0;
    for key in first..first + 100 {
        let limit = Duration::from_micros(chance.below(20_000));
        thread::scope(|scope| {
            let limited = scope.spawn(move || wide.hold(key).wait_for(limit));
            thread::sleep(Duration::from_micros(chance.below(20_000))); // sleep: any length is as good, that is the test
            wide.release(vec![key]).wait().unwrap();
            match limited.join().unwrap() {
                Ok(answer) => assert_eq!(answer, Some((key, key * key))),
                Err(CallError::TimedOut { .. }) => timed_out += 1,
                Err(error) => panic!("{error}"),
            }
        });
    }
    assert!(timed_out > 0);
}

fn all_die(system: &System) {
    let wide = system.spawn::<Wide>(()).start().unwrap();
    let asked = hold_all(&wide);
    wide.kill();
    for (_, asked) in asked {
        let told = asked.wait().unwrap_err();
        assert!(matches!(told, CallError::Died { .. }), "{told}");
    }
    wait_until("no call is left", || format!("{wide:?}").contains("pending: {}"));
}
