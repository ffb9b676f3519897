//! Asynchronous commands as a pool's tasks: one at a time in each worker, as the plain ones.

use process::{System, pool::TaskError};

use super::{
    Test,
    subject::{Config, Subject},
};

pub const TESTS: &[Test] = &[("a_pools_workers_do_asynchronous_commands_one_at_a_time", a_pool)];

fn a_pool(system: &System) {
    let pool = system.pool::<Subject>(2, |_| Config::default()).unwrap();
    // Between plain ones, and some fail.
    let results = pool.map(0..300u64, |worker, number| match number % 3 {
        0 => worker.nap(number % 5),
        1 => worker.ping(number),
        _ => worker.panic_later("oh".to_owned(), number),
    });
    for (number, result) in (0..).zip(results.unwrap()) {
        match (number % 3, result) {
            (0, Ok(running)) => assert_eq!(running, 1, "only itself"),
            (1, Ok(answer)) => assert_eq!(answer, number),
            (2, Err(TaskError::HandlerFailed { why, .. })) => assert!(why.contains("oh"), "{why}"),
            (_, other) => panic!("{number}: {other:?}"),
        }
    }
    // One that never ends doesn't keep a pool from ending.
    let held = pool.apply_async(|worker| worker.hold(1)).unwrap();
    pool.terminate();
    pool.join().unwrap();
    assert!(matches!(held.wait(), Err(TaskError::Pool(_) | TaskError::WorkerLost { .. })));
}
