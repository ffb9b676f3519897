//! Closing, terminating and dropping in every state.

use std::{
    thread,
    time::{Duration, Instant},
};

use process::{
    Pool, System,
    pool::{PoolError, TaskError},
};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    LIMIT, Test,
    subject::{Subject, log, next, pool},
};

pub const TESTS: &[Test] = &[
    ("a_pool_ends_in_time_in_every_state_and_way", every_state),
    ("a_map_in_another_thread_ends_with_its_pool", map_in_another_thread),
    ("an_imap_outlives_the_close_of_its_pool_and_says_that_it_ended", imap_and_close),
    ("terminate_after_close_hurries", terminate_after_close),
    ("a_pool_that_is_dropped_in_its_own_callback_harms_nobody", dropped_in_callback),
    ("workers_that_somebody_else_stops_are_replaced", stopped_by_others),
];

/// Brings a pool into a state.
type Prepare = fn(&Pool<Subject>);

fn every_state(system: &System) {
    let states: [(&str, Prepare); 5] = [
        ("idle", |_| {}),
        ("full", |pool| {
            for _ in 0..1000 {
                pool.apply_async(|worker| worker.compute(1000)).unwrap().on_done(drop);
            }
        }),
        ("at a task without end", |pool| {
            let (mut begun, writer) = log();
            drop(pool.apply_async(|worker| worker.stay(writer.clone())).unwrap());
            next(&mut begun);
        }),
        ("with a stopped worker", |pool| _ = signal(pool, 0, Signal::STOP)),
        ("with a killed worker", |pool| _ = signal(pool, 0, Signal::KILL)),
    ];
    for (state, prepare) in states {
        for way in ["terminate", "drop", "close, then drop"] {
            let pool = pool(system, 2);
            prepare(&pool);
            let ending = Instant::now();
            match way {
                "terminate" => {
                    pool.terminate();
                    assert_eq!(pool.join_for(LIMIT), Ok(true), "{state}");
                }
                "close, then drop" => pool.close(),
                _ => {}
            }
            drop(pool);
            let took = ending.elapsed();
            assert!(took < Duration::from_secs(3), "{state}, {way}: {took:?}");
            assert!(super::children(std::process::id() as i32).is_empty(), "{state}, {way}");
        }
    }
}

/// Gives the one that it was.
pub fn signal(pool: &Pool<Subject>, index: usize, signal: Signal) -> i32 {
    let pid = pool.workers()[index].pid.unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    pid
}

fn map_in_another_thread(system: &System) {
    let pool = pool(system, 2);
    thread::scope(|scope| {
        let (mut begun, writer) = log();
        let pool = &pool;
        let mapping = scope.spawn(move || pool.map(0..100, |worker, _| worker.stay(writer.clone())).unwrap());
        next(&mut begun);
        pool.terminate();
        let results = mapping.join().unwrap();
        assert_eq!(results.len(), 100);
        assert!(results.iter().all(|result| matches!(result, Err(TaskError::Pool(PoolError::Terminated)))));
    });
}

fn imap_and_close(system: &System) {
    let pool = pool(system, 2);
    let mut results = pool.ahead(10).imap(0.., |worker, number| worker.square(number)).unwrap();
    results.next().unwrap().unwrap();
    pool.close();
    let rest: Vec<_> = results.collect();
    let (last, before) = rest.split_last().unwrap();
    assert!(matches!(last, Err(TaskError::Pool(PoolError::Closed))), "{last:?}");
    assert!(before.iter().zip(1..).all(|(result, number)| *result.as_ref().unwrap() == number * number));
    pool.join().unwrap();
}

fn terminate_after_close(system: &System) {
    let pool = pool(system, 1);
    let (mut begun, writer) = log();
    let job = pool.apply_async(|worker| worker.stay(writer.clone())).unwrap();
    next(&mut begun);
    pool.close();
    assert_eq!(pool.join_for(Duration::from_millis(20)), Ok(false));
    pool.terminate();
    pool.join().unwrap();
    assert!(matches!(job.wait(), Err(TaskError::Pool(PoolError::Terminated))));
}

fn dropped_in_callback(system: &System) {
    let pool = pool(system, 1);
    let (mut begun, writer) = log();
    let job = pool.apply_async(|worker| worker.logged(1, 100_000, writer.clone())).unwrap();
    let other = pool.apply_async(|worker| worker.square(1)).unwrap();
    next(&mut begun);
    job.on_done(move |_| {
        assert!(!other.cancel(), "it can't be waited for here");
        assert_eq!(pool.join(), Err(PoolError::StillOpen));
        drop(pool);
    });
}

fn stopped_by_others(system: &System) {
    let pool = pool(system, 2);
    let (mut begun, writer) = log();
    let job = pool.apply_async(|worker| worker.stay(writer.clone())).unwrap();
    next(&mut begun);
    let names: Vec<String> = pool.workers().into_iter().map(|worker| worker.name).collect();
    system.stop(&names.iter().map(String::as_str).collect::<Vec<_>>(), Duration::from_millis(100));
    assert!(matches!(job.wait(), Err(TaskError::WorkerLost { .. })));
    assert_eq!(pool.apply(|worker| worker.square(2)).unwrap(), 4, "they are replaced");
}
