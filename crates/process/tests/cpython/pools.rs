//! What `tests/pool` leaves of CPython's scenarios for `Pool`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use process::{
    Pool, System,
    pool::{TaskError, Workers},
};

use super::{
    runner::Test,
    subject::{Arguments, Subject, Unspeakable, resident},
};

pub const TESTS: &[Test] = &[
    ("python_release_task_refs", release_task_refs),
    ("python_map_unpicklable", map_unpicklable),
    ("python_imap_of_an_infinite_generator_in_constant_memory", constant_memory),
];

pub fn pool(system: &System, workers: usize) -> Pool<Subject> {
    system.pool::<Subject>(Workers::new(workers), |_| Arguments::default()).unwrap()
}

/// `test_release_task_refs`: when a task is done nothing holds its arguments or its result any more.
fn release_task_refs(system: &System) {
    let pool = pool(system, 2);
    let alive = Arc::new(());
    let items = || (0..20).map(|number| (number, alive.clone()));
    let results = pool.map(items(), |worker, (number, _)| worker.square(number)).unwrap();
    assert_eq!((results.len(), Arc::strong_count(&alive)), (20, 1));
    let results: Vec<_> = pool.imap_unordered(items(), |worker, (number, _)| worker.square(number)).unwrap().collect();
    assert_eq!((results.len(), Arc::strong_count(&alive)), (20, 1));
    let done = Arc::new(AtomicUsize::new(0));
    for (number, held) in items() {
        let counted = done.clone();
        let count = move |_| {
            drop(held);
            counted.fetch_add(1, Ordering::Relaxed);
        };
        pool.apply_async(|worker| worker.square(number)).unwrap().on_done(count);
    }
    pool.close();
    pool.join().unwrap();
    super::runner::wait_until("all are told", || done.load(Ordering::Relaxed) == 20);
    assert_eq!((Arc::strong_count(&alive), Arc::strong_count(&done)), (1, 1));
}

/// `test_map_unpicklable`: an argument without an encoding is that task's error.
fn map_unpicklable(system: &System) {
    let pool = pool(system, 2);
    let results = pool
        .map(0..10, |worker, number| if number == 3 { worker.unspeakable(Unspeakable) } else { worker.square(number) })
        .unwrap();
    for (number, result) in (0..).zip(results) {
        match result {
            Ok(square) => assert_eq!(square, number * number),
            Err(error) => assert!(number == 3 && error.to_string().contains("no words"), "{number}: {error}"),
        }
    }
    let told = pool.apply(|worker| worker.unspeakable(Unspeakable)).unwrap_err();
    assert!(!matches!(told, TaskError::TimedOut), "{told}");
    assert_eq!(pool.apply(|worker| worker.square(2)).unwrap(), 4);
}

/// `imap` over an infinite generator, taken from for long: neither side grows.
fn constant_memory(system: &System) {
    const MOST: u64 = 8 << 20;
    let pool = pool(system, 2);
    let mut results = pool.imap(0.., |worker, number| worker.square(number % 1000)).unwrap();
    let mut take = |count: usize| results.by_ref().take(count).map(Result::unwrap).count();
    take(20_000); // what is kept for later use is there now
    let before = resident();
    take(100_000);
    let grown = resident().saturating_sub(before);
    println!("     (grown by {} KiB)", grown / 1024);
    assert!(grown < MOST, "{grown}");
    drop(results);
    let theirs = pool.map(0..4, |worker, _| worker.memory()).unwrap();
    assert!(theirs.into_iter().all(|memory| memory.unwrap() < 2 * MOST));
}
