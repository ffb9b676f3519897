//! CPython's locks hang when one who has them, or waits for them, is killed.

use std::thread;

use process::System;
use shm::{
    arena::Arena,
    lock::{Barrier, Condition, Lock},
};

use super::{
    rounds::{answers, kill, start, until_asleep},
    runner::{LIMIT, Test, wait_until},
    subject::Begun,
};

pub const TESTS: &[Test] = &[
    ("a_lock_whose_owner_is_killed_is_had_by_the_next", lock),
    ("a_notification_reaches_the_living_when_a_waiter_is_killed", condition),
    ("a_barrier_breaks_when_a_member_is_killed", barrier),
];

/// CPython: `Lock.acquire` never returns.
fn lock(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let (lock, begun) = (Lock::create(&arena, 0).unwrap(), Begun::create(&arena));
    let waiter = start(system, "waiter");
    answers(|| {
        let owner = start(system, "owner");
        owner.hold(lock.clone()).wait().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| waiter.take(lock.clone(), begun.clone()).wait_for(LIMIT).unwrap());
            until_asleep(begun.wait());
            let killed = kill(owner.process_id().unwrap());
            assert!(waiting.join().unwrap(), "it is told that the owner died");
            let took = killed.elapsed();
            lock.lock_for(LIMIT).or_else(|error| error.into_guard()).unwrap().mark_consistent();
            took
        })
    });
}

/// CPython: `notify_all` waits for an acknowledgement of the dead.
fn condition(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let lock = Lock::create(&arena, 0).unwrap();
    let condition = Condition::create(&lock).unwrap();
    let living = start(system, "living");
    answers(|| {
        let victim = start(system, "victim");
        let now = *lock.lock().unwrap();
        victim.await_change(condition.clone(), now).detach();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| living.await_change(condition.clone(), now).wait_for(LIMIT).unwrap());
            wait_until("both wait", || condition.waiting(&lock.lock().unwrap()) == 2);
            let killed = kill(victim.process_id().unwrap());
            let mut guard = lock.lock().unwrap();
            *guard += 1;
            condition.notify_all(&guard);
            drop(guard);
            assert_eq!(waiting.join().unwrap(), now + 1);
            killed.elapsed()
        })
    });
}

/// CPython: `Barrier(timeout=2)` doesn't even keep to its timeout.
fn barrier(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let barrier = Barrier::create(&arena, 3).unwrap();
    let living = start(system, "living");
    answers(|| {
        let victim = start(system, "victim");
        victim.meet(barrier.clone(), 60_000).detach();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| living.meet(barrier.clone(), 2000).wait_for(LIMIT).unwrap());
            wait_until("both wait", || barrier.waiting() == 2);
            let killed = kill(victim.process_id().unwrap());
            assert!(waiting.join().unwrap(), "it is told that the barrier broke");
            let took = killed.elapsed();
            barrier.reset().unwrap();
            took
        })
    });
}
