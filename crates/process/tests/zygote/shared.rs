//! Memory of many writers among copies: each must be a member of its own, whose death the kernel tells.

use process::System;
use shm::{
    arena::Arena,
    lock::{Lock, LockError},
    queue::{Queue, QueueOptions},
};

use super::{
    LIMIT, Test,
    seen::{is_copy, pid, start},
};

pub const TESTS: &[Test] = &[
    ("a_queue_and_a_lock_in_two_copies", a_queue_and_a_lock),
    ("a_killed_copys_lock_is_taken_over", a_killed_copys_lock),
];

/// The thread whose list of locks the kernel looks through at our death lives as long as we do.
pub fn warm_up() {
    drop(Lock::create(&Arena::create(1 << 20).unwrap(), 0_u64).unwrap());
}

fn a_queue_and_a_lock(system: &System) {
    let arena = Arena::create(1 << 20).unwrap();
    let tasks: Queue<u64> = Queue::create(&arena, QueueOptions { capacity: 64, ..QueueOptions::default() }).unwrap();
    let sum = Lock::create(&arena, 0_u64).unwrap();
    let workers = ["s.one", "s.two"].map(|name| start(system, name));
    let working = workers.each_ref().map(|worker| worker.work(tasks.clone(), sum.clone()));
    std::thread::scope(|scope| {
        let done = working.map(|call| scope.spawn(move || call.wait().unwrap().unwrap()));
        (1..=1000).for_each(|task| tasks.put_for(task, LIMIT).unwrap());
        tasks.close().unwrap();
        assert_eq!(done.map(|done| done.join().unwrap()).iter().sum::<u64>(), 1000);
    });
    assert_eq!(*sum.lock().unwrap(), 500_500);
}

fn a_killed_copys_lock(system: &System) {
    let arena = Arena::create(1 << 20).unwrap();
    let lock = Lock::create(&arena, 0_u64).unwrap();
    for round in 0..5 {
        let owner = start(system, "s.owner");
        assert!(is_copy(pid(&owner)));
        owner.hold(lock.clone()).wait().unwrap().unwrap();
        let told = lock.try_lock().map(drop).map_err(LockError::without_guard);
        assert!(matches!(told, Err(LockError::Busy)), "round {round}: {told:?}");
        owner.kill();
        match lock.lock_for(LIMIT) {
            Err(LockError::OwnerDied(mut guard)) => {
                assert_eq!(*guard, 7);
                guard.mark_consistent();
            }
            other => panic!("round {round}: {other:?}"),
        }
        owner.join_for(LIMIT).unwrap();
    }
}
