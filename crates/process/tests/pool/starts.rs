//! Workers that don't start, or don't last.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use process::{
    Exit, Pool, StartError, System,
    pool::{PoolError, TaskError, Workers},
};

use super::{
    LIMIT, Test, children,
    subject::{Config, Manner, Subject, pool},
};

pub const TESTS: &[Test] = &[
    ("a_start_that_always_fails_is_the_pools_error_and_is_not_repeated", always_fails),
    ("a_start_that_never_ends_is_over_in_time", never_ends),
    ("one_of_many_that_fails_takes_the_others_along", one_fails),
    ("a_pool_whose_replacements_fail_says_why_and_stops", replacements_fail),
    ("a_start_that_fails_once_is_tried_again", fails_once),
    ("workers_that_die_idle_again_and_again_end_the_pool", die_soon),
    ("a_configuration_that_panics_is_an_error", configuration_panics),
    ("a_worker_over_its_memory_is_replaced_and_nothing_lost", over_memory),
    ("a_task_that_takes_too_much_memory_is_lost_alone", far_over_memory),
];

fn with(
    system: &System,
    workers: Workers,
    manner: impl Fn(usize) -> Manner + Send + 'static,
) -> Result<(Pool<Subject>, Arc<AtomicUsize>), StartError> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let config = move |seat| Config { seat, manner: manner(counter.fetch_add(1, Ordering::Relaxed)) };
    system.pool::<Subject>(workers, config).map(|pool| (pool, asked))
}

fn always_fails(system: &System) {
    let begun = Instant::now();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let config = move |seat| {
        counter.fetch_add(1, Ordering::Relaxed);
        Config { seat, manner: Manner::Fails }
    };
    let told = system.pool::<Subject>(4, config).unwrap_err();
    assert!(told.to_string().contains("the model isn't there"), "{told}");
    assert!(children(std::process::id() as i32).is_empty() && begun.elapsed() < Duration::from_secs(5));
    assert_eq!(asked.load(Ordering::Relaxed), 4, "each seat was tried once");
    let told = with(system, Workers::new(2), |_| Manner::Dies).unwrap_err();
    assert!(told.to_string().contains("SIGKILL"), "{told}");
}

fn never_ends(system: &System) {
    let workers = Workers::new(2).ready_within(Duration::from_millis(200));
    let told = with(system, workers, |_| Manner::NeverReady).unwrap_err();
    assert!(told.to_string().contains("not ready in time"), "{told}");
}

fn one_fails(system: &System) {
    let manner = |asked| if asked == 2 { Manner::Fails } else { Manner::Well };
    assert!(with(system, Workers::new(4), manner).is_err());
    assert!(children(std::process::id() as i32).is_empty());
}

fn replacements_fail(system: &System) {
    let manner = |asked| if asked < 2 { Manner::Well } else { Manner::Fails };
    let (pool, asked) = with(system, Workers::new(2), manner).unwrap();
    let results = pool.map(0..200, |worker, number| worker.die_at(number % 2, 1)).unwrap();
    let why = |result: &Result<u64, TaskError>| result.as_ref().unwrap_err().to_string();
    assert_eq!(results.len(), 200);
    assert!(results.iter().filter(|result| result.is_err()).all(|result| {
        let why = why(result);
        why.contains("SIGKILL") || why.contains("the model isn't there")
    }));
    assert!(why(results.last().unwrap()).contains("the model isn't there"));
    let told = pool.join().unwrap_err();
    assert!(matches!(&told, PoolError::Failed { cause } if cause.contains("the model isn't there")), "{told}");
    assert_eq!(pool.apply(|worker| worker.square(1)).unwrap_err().to_string(), told.to_string());
    assert!(asked.load(Ordering::Relaxed) <= 2 + 6, "no endless respawn: {asked:?}");
}

fn fails_once(system: &System) {
    let manner = |asked| if asked == 2 { Manner::Fails } else { Manner::Well };
    let (pool, _) = with(system, Workers::new(2), manner).unwrap();
    let results = pool.map(0..100, |worker, number| worker.die_at(number, 10)).unwrap();
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1);
    super::wait_until("both are there", || pool.workers().len() == 2);
}

fn die_soon(system: &System) {
    let (pool, asked) = match with(system, Workers::new(2), |_| Manner::DiesSoon) {
        Ok(started) => started,
        // On a busy machine one may die before it was given anything: then it is the start that fails.
        Err(told) => return assert!(told.to_string().contains("SIGKILL"), "{told}"),
    };
    super::wait_until("the idle pool gives up", || pool.join_for(Duration::ZERO) != Err(PoolError::StillOpen));
    let told = pool.join().unwrap_err();
    // On a busy machine one may die even before it is heard to be ready.
    let told = told.to_string();
    let known = ["without having done anything", "lost before it was ready", "it died"];
    assert!(known.iter().any(|known| told.contains(known)), "{told}");
    // Each of two seats is filled until five have died ready, and before each of them at most two may have died too soon.
    assert!(asked.load(Ordering::Relaxed) <= 2 * 5 * 3, "no endless respawn: {asked:?}");
}

fn configuration_panics(system: &System) {
    let told = system.pool::<Subject>(2, |_| panic!("no plan")).unwrap_err();
    assert!(told.to_string().contains("no plan"), "{told}");
    let begun = Instant::now();
    drop(pool(system, 1));
    assert!(begun.elapsed() < LIMIT);
}

fn over_memory(system: &System) {
    let pool = pool(system, Workers::new(2).max_memory_per_child(100 << 20));
    let pids: Vec<i32> =
        pool.map(0..60, |worker, _| worker.keep(10 << 20)).unwrap().into_iter().map(Result::unwrap).collect();
    let mut distinct = pids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    // Each may take nine before it is over, and a few more until it looks.
    assert!((3..=20).contains(&distinct.len()), "{pids:?}");
}

/// Too fast to be looked at between two tasks.
fn far_over_memory(system: &System) {
    const ALLOWED: u64 = 100 << 20;
    let pool = pool(system, Workers::new(2).memory_limit(ALLOWED));
    let results = pool.map(0..20, |worker, number| worker.keep(if number == 7 { 2 << 30 } else { 1 << 10 })).unwrap();
    for (number, result) in results.into_iter().enumerate() {
        match result {
            Err(TaskError::WorkerLost { how, .. }) if number == 7 => {
                assert_eq!(how, Exit::OutOfMemory { limit_bytes: ALLOWED });
            }
            result => assert!(number != 7 && result.is_ok(), "{number}: {result:?}"),
        }
    }
}
