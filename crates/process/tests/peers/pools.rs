//! CPython's `Pool` hangs when a worker is killed; the whole `ProcessPoolExecutor` is lost, and 6 of 8 futures with it.

use std::thread;

use process::{
    Exit, Pool, System,
    pool::{TaskError, Workers},
};
use shm::{arena::Arena, lock::Event};

use super::{
    rounds::{answers, kill},
    runner::{LIMIT, Test},
    subject::{Begun, Config, Subject},
};

pub const TESTS: &[Test] = &[
    ("a_map_whose_worker_is_killed_returns", map),
    ("a_pool_whose_idle_worker_was_killed_is_terminated", idle_then_terminate),
    ("a_killed_worker_costs_its_own_one_of_eight_futures", one_of_eight),
];

pub fn pool(system: &System, workers: usize) -> Pool<Subject> {
    system.pool::<Subject>(Workers::new(workers), |_| Config).unwrap()
}

fn lost(error: &TaskError) -> bool {
    matches!(error, TaskError::WorkerLost { how: Exit::Signal(9), .. })
}

/// CPython: `Pool.map` never returns.
fn map(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let begun = Begun::create(&arena);
    answers(|| {
        let pool = pool(system, 2);
        let (mapped, theirs) = (&pool, begun.clone());
        thread::scope(|scope| {
            let make = move |worker: &super::subject::SubjectHandle, number| match number {
                3 => worker.stay(theirs.clone()),
                _ => worker.square(number),
            };
            let mapping = scope.spawn(move || mapped.map(0..8, make).unwrap());
            let killed = kill(begun.wait());
            let results = mapping.join().unwrap();
            let took = killed.elapsed();
            for (number, result) in (0..).zip(results) {
                match result {
                    Err(error) => assert!(number == 3 && lost(&error), "{number}: {error}"),
                    Ok(square) => assert_eq!(square, number * number),
                }
            }
            took
        })
    });
}

/// CPython: `terminate` hangs, since the idle worker died with the lock of the task queue.
fn idle_then_terminate(system: &System) {
    answers(|| {
        let pool = pool(system, 2);
        let killed = kill(pool.workers()[0].pid.unwrap());
        pool.terminate();
        pool.join().unwrap();
        killed.elapsed()
    });
}

/// `ProcessPoolExecutor`, loky: the executor is broken, and all its futures with it.
fn one_of_eight(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let (begun, gate) = (Begun::create(&arena), Event::create(&arena).unwrap());
    let pool = pool(system, 8);
    answers(|| {
        let mut jobs = Vec::new();
        let mut pids = Vec::new();
        for number in 0..8 {
            jobs.push(pool.apply_async(|worker| worker.wait_for(number, begun.clone(), gate.clone())).unwrap());
            pids.push(begun.wait());
        }
        let victim = jobs.remove(3);
        let killed = kill(pids[3]);
        let told = victim.wait_for(LIMIT).unwrap().unwrap_err();
        let took = killed.elapsed();
        assert!(lost(&told), "{told}");
        gate.set().unwrap();
        let rest: Vec<u64> = jobs.into_iter().map(|job| job.wait_for(LIMIT).unwrap().unwrap()).collect();
        assert_eq!(rest, [0, 1, 2, 4, 5, 6, 7]);
        gate.clear().unwrap();
        took
    });
    assert_eq!(pool.apply(|worker| worker.square(3)).unwrap(), 9, "and it goes on");
}
