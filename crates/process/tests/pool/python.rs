//! The scenarios of CPython's `_test_multiprocessing.py` for pools; each names its model.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    time::{Duration, Instant},
};

use process::{
    System,
    pool::{PoolError, TaskError, Workers},
};

use super::{
    LIMIT, Test,
    subject::{SubjectHandle, log, next, pool},
};

pub const TESTS: &[Test] = &[
    ("python_apply", apply),
    ("python_map", map),
    ("python_starmap", starmap),
    ("python_map_chunksize", map_chunksize),
    ("python_empty_iterable", empty_iterable),
    ("python_imap_and_imap_unordered", imap),
    ("python_imap_handles_an_iterable_that_fails", imap_iterable_fails),
    ("python_imap_of_an_infinite_iterable", imap_infinite),
    ("python_map_no_failfast", map_no_failfast),
    ("python_traceback", traceback),
    ("python_apply_async_timeout", async_timeout),
    ("python_apply_async_callbacks", async_callbacks),
    ("python_unpickleable_result", unspeakable_result),
    ("python_worker_lifetime", worker_lifetime),
    ("python_worker_lifetime_early_close", worker_lifetime_early_close),
    ("python_maxtasksperchild_of_one", one_task_per_child),
    ("python_terminate", terminate),
    ("python_close_then_use_is_an_error", close_then_use),
    ("python_close_and_join_do_what_was_taken", close_and_join),
];

fn squares(numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    numbers.into_iter().map(|number| number * number).collect()
}

fn oks<R>(results: impl IntoIterator<Item = Result<R, TaskError>>) -> Vec<R> {
    results.into_iter().map(Result::unwrap).collect()
}

/// `test_apply`
fn apply(system: &System) {
    let pool = pool(system, 3);
    assert_eq!(pool.apply(|worker| worker.square(5)).unwrap(), 25);
    assert_eq!(pool.apply(|worker| worker.checked_half(3)).unwrap(), Err("3 is odd".to_owned()));
}

/// `test_map`
fn map(system: &System) {
    let pool = pool(system, 3);
    for count in [1, 10, 1000] {
        let results = pool.map(0..count, |worker, number| worker.square(number)).unwrap();
        assert_eq!(oks(results), squares(0..count));
        let results = pool.chunk(20).map(0..count, |worker, number| worker.square(number)).unwrap();
        assert_eq!(oks(results), squares(0..count));
    }
    let texts = vec!["x".repeat(3), "x".repeat(5000), "x".repeat(300_000)];
    let results = pool.map(texts, |worker, text| worker.whole_text(text)).unwrap();
    assert_eq!(oks(results), [3, 5000, 300_000]);
}

/// `test_starmap`
fn starmap(system: &System) {
    let pool = pool(system, 3);
    let sums = pool.starmap((0..100).map(|number| (number, 1)), SubjectHandle::add).unwrap();
    assert_eq!(oks(sums), (1..=100).collect::<Vec<_>>());
    let sums = pool.chunk(20).starmap([(1, 2), (3, 4)], SubjectHandle::add).unwrap();
    assert_eq!(oks(sums), [3, 7]);
}

/// `test_map_chunksize`: chunks larger than the input, and than what a worker holds.
fn map_chunksize(system: &System) {
    let pool = pool(system, 2);
    for chunk in [1, 7, 100, 100_000] {
        let results = pool.chunk(chunk).map(0..5000, |worker, number| worker.square(number)).unwrap();
        assert_eq!(oks(results), squares(0..5000), "chunks of {chunk}");
    }
    let pids = oks(pool.chunk(10).map(0..100, |worker, _| worker.compute(1000)).unwrap());
    let whole = pids.chunks(10).filter(|chunk| chunk.iter().all(|pid| *pid == chunk[0])).count();
    // A worker that has nothing else to do may take half of another's last chunk.
    assert!(whole >= 8, "{pids:?}");
}

/// `test_empty_iterable`
fn empty_iterable(system: &System) {
    let pool = pool(system, 2);
    assert!(pool.map(0..0, |worker, number| worker.square(number)).unwrap().is_empty());
    assert!(pool.imap(0..0, |worker, number| worker.square(number)).unwrap().next().is_none());
    assert!(pool.imap_unordered(0..0, |worker, number| worker.square(number)).unwrap().next().is_none());
    assert!(pool.starmap([(1, 1); 0], SubjectHandle::add).unwrap().is_empty());
    pool.close();
    pool.join().unwrap();
}

/// `test_imap`, `test_imap_unordered`
fn imap(system: &System) {
    let pool = pool(system, 3);
    let results = pool.imap(0..1000, |worker, number| worker.square(number)).unwrap();
    assert_eq!(oks(results), squares(0..1000));
    let results = pool.chunk(100).imap(0..1000, |worker, number| worker.square(number)).unwrap();
    assert_eq!(oks(results), squares(0..1000));
    let mut results = oks(pool.imap_unordered(0..1000, |worker, number| worker.square(number)).unwrap());
    results.sort_unstable();
    assert_eq!(results, squares(0..1000));
    let mut late = pool.imap(0..2, |worker, _| worker.compute(100_000)).unwrap();
    assert!(matches!(late.next_for(Duration::from_millis(1)), Some(Err(TaskError::TimedOut))));
    assert_eq!(oks(late).len(), 2, "both are still to come");
}

/// `test_imap_handle_iterable_exception`: what was read before is given, then the panic.
fn imap_iterable_fails(system: &System) {
    let pool = pool(system, 2);
    let failing = || (0..20).inspect(|number| assert_ne!(*number, 7, "no more"));
    let mut results = pool.imap(failing(), |worker, number| worker.square(number)).unwrap();
    for number in 0..7 {
        assert_eq!(results.next().unwrap().unwrap(), number * number);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| results.next())).is_err());
    assert!(results.next().is_none());
    let map = catch_unwind(AssertUnwindSafe(|| pool.map(failing(), |worker, number| worker.square(number))));
    assert!(map.is_err());
    assert_eq!(pool.apply(|worker| worker.square(3)).unwrap(), 9, "the pool is none the worse");
}

/// An endless input is read only so far ahead, in every order.
fn imap_infinite(system: &System) {
    let pool = pool(system, 2);
    let read = std::cell::Cell::new(0u64);
    let endless = || std::iter::repeat_with(|| read.replace(read.get() + 1));
    let results = pool.ahead(50).imap(endless(), |worker, number| worker.square(number)).unwrap();
    assert_eq!(oks(results.take(1000)), squares(0..1000));
    assert!((1000..=1050).contains(&read.get()), "{}", read.get());
    // By default too, also while one result is long in coming.
    read.set(0);
    let mut results =
        pool.imap(endless(), |worker, number| worker.compute(if number == 0 { 200_000 } else { 0 })).unwrap();
    results.next().unwrap().unwrap();
    assert!(read.get() <= 400, "{}", read.get());
    // Large items are held in smaller numbers.
    drop(results);
    read.set(0);
    let text = "x".repeat(16 << 20);
    let mut results = pool.imap(endless(), |worker, _| worker.whole_text(text.clone())).unwrap();
    results.next().unwrap().unwrap();
    assert!(read.get() <= 8, "{}", read.get());
}

/// `test_map_no_failfast`
fn map_no_failfast(system: &System) {
    let pool = pool(system, 2);
    let begun = Instant::now();
    let results = pool
        .map(
            [3, 0, 100_000, 100_000],
            |worker, number| {
                if number == 3 { worker.panic_at(3, 3) } else { worker.square(number) }
            },
        )
        .unwrap();
    assert!(results[0].is_err());
    assert_eq!(results.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), squares([0, 100_000, 100_000]));
    let results =
        pool.map([3, 0], |worker, n| if n == 3 { worker.panic_at(3, 3) } else { worker.wait_a_bit() }).unwrap();
    assert!(results[0].is_err() && results[1].is_ok() && begun.elapsed() >= Duration::from_millis(50));
}

trait WaitABit {
    fn wait_a_bit(&self) -> process::Call<u64>;
}

impl WaitABit for SubjectHandle {
    /// Typed as the other task is.
    fn wait_a_bit(&self) -> process::Call<u64> {
        self.call(&super::subject::SubjectCommand::Compute { microseconds: 50_000 })
    }
}

/// `test_traceback`: what went wrong, where, and in whom.
fn traceback(system: &System) {
    let pool = pool(system, 1);
    let told = pool.apply(|worker| worker.panic_at(4, 4)).unwrap_err().to_string();
    for part in ["I can't stand it", "tests/pool/subject.rs:", "subject.p"] {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(pool.apply(|worker| worker.panic_at(4, 5)).unwrap(), 4, "the worker lives");
}

/// `test_async_timeout`
fn async_timeout(system: &System) {
    let pool = pool(system, 1);
    let job = pool.apply_async(|worker| worker.compute(100_000)).unwrap();
    let job = job.wait_for(Duration::from_millis(1)).unwrap_err();
    assert!(!job.is_done());
    assert!(job.wait().is_ok());
    let awaited = futures::executor::block_on(pool.apply_async(|worker| worker.square(9)).unwrap());
    assert_eq!(awaited.unwrap(), 81);
}

/// `test_async`, `callback` and `error_callback`
fn async_callbacks(system: &System) {
    let pool = pool(system, 2);
    let (sender, results) = mpsc::channel();
    for number in 0..3 {
        let sender = sender.clone();
        let job = pool.apply_async(|worker| worker.panic_at(number, 1)).unwrap();
        job.on_done(move |result| sender.send((number, result.ok())).unwrap());
    }
    let mut results: Vec<_> = (0..3).map(|_| results.recv_timeout(LIMIT).unwrap()).collect();
    results.sort_unstable();
    assert_eq!(results, [(0, Some(0)), (1, None), (2, Some(2))]);
    // One that panics, and one that comes after the result, harm nobody.
    pool.apply_async(|worker| worker.square(1)).unwrap().on_done(|_| panic!("on purpose"));
    let job = pool.apply_async(|worker| worker.square(2)).unwrap();
    super::wait_until("it is done", || job.is_done());
    let (sender, late) = mpsc::channel();
    job.on_done(move |result| sender.send(result.unwrap()).unwrap());
    assert_eq!(late.recv_timeout(LIMIT).unwrap(), 4);
}

/// `test_unpickleable_result`
fn unspeakable_result(system: &System) {
    let pool = pool(system, 2);
    for _ in 0..20 {
        let told = pool.apply(|worker| worker.unspeakable()).unwrap_err();
        assert!(matches!(&told, TaskError::HandlerFailed { why, .. } if why.contains("no words")), "{told}");
    }
    assert_eq!(pool.workers().len(), 2, "nobody died of it");
}

/// `test_pool_worker_lifetime`
fn worker_lifetime(system: &System) {
    let pool = pool(system, Workers::new(3).max_tasks_per_child(10));
    let pids = oks(pool.map(0..200, |worker, _| worker.pid()).unwrap());
    let mut tasks = BTreeMap::new();
    pids.iter().for_each(|pid| *tasks.entry(*pid).or_insert(0) += 1);
    assert!(tasks.len() >= 20 && tasks.values().all(|tasks| *tasks <= 10), "{tasks:?}");
    super::wait_until("the pool is full again", || pool.workers().len() == 3);
    assert_eq!(pool.apply(|worker| worker.square(2)).unwrap(), 4);
    let mut seats = oks(pool.map(0..20, |worker, _| worker.seat()).unwrap());
    seats.sort_unstable();
    assert!(seats.iter().all(|seat| *seat < 3));
    pool.close();
    pool.join().unwrap();
}

/// `test_pool_worker_lifetime_early_close`: closed while more is to be done than the workers may do.
fn worker_lifetime_early_close(system: &System) {
    let pool = pool(system, Workers::new(3).max_tasks_per_child(1));
    let jobs: Vec<_> = (0..6).map(|n| pool.apply_async(|worker| worker.panic_at(n, 99)).unwrap()).collect();
    pool.close();
    pool.join().unwrap();
    for (number, job) in (0..).zip(jobs) {
        assert_eq!(job.wait().unwrap(), number);
    }
}

/// `test_max_tasks_per_child` of `concurrent.futures`, at its hardest.
fn one_task_per_child(system: &System) {
    let pool = pool(system, Workers::new(4).max_tasks_per_child(1));
    let mut pids = oks(pool.map(0..300, |worker, _| worker.pid()).unwrap());
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 300, "each was done once, by a worker of its own");
}

/// `test_terminate`, `test_terminate_with...`
fn terminate(system: &System) {
    let pool = pool(system, 3);
    let (mut begun, writer) = log();
    let job = pool.apply_async(|worker| worker.stay(writer.clone())).unwrap();
    let rest: Vec<_> = (0..1000).map(|_| pool.apply_async(|worker| worker.compute(100_000)).unwrap()).collect();
    next(&mut begun);
    let ending = Instant::now();
    pool.terminate();
    pool.join().unwrap();
    assert!(ending.elapsed() < Duration::from_secs(2), "{:?}", ending.elapsed());
    assert!(matches!(job.wait(), Err(TaskError::Pool(PoolError::Terminated))));
    assert!(rest.into_iter().all(|job| job.wait_for(Duration::ZERO).is_ok()), "all have an outcome");
}

/// `ValueError: Pool not running`
fn close_then_use(system: &System) {
    let pool = pool(system, 1);
    assert_eq!(pool.join(), Err(PoolError::StillOpen));
    pool.close();
    assert!(matches!(pool.apply_async(|worker| worker.square(1)), Err(PoolError::Closed)));
    assert!(matches!(pool.map(0..3, |worker, number| worker.square(number)), Err(PoolError::Closed)));
    assert!(matches!(pool.apply(|worker| worker.square(1)), Err(TaskError::Pool(PoolError::Closed))));
    pool.join().unwrap();
    pool.join().unwrap();
    pool.close();
    assert_eq!(pool.join_for(Duration::ZERO), Ok(true));
}

/// `test_close`, and `test_release_task_refs` in that nothing holds the workers afterwards.
fn close_and_join(system: &System) {
    let pool = pool(system, 2);
    let jobs: Vec<_> = (0..200).map(|_| pool.apply_async(|worker| worker.compute(1000)).unwrap()).collect();
    pool.close();
    assert_eq!(pool.join_for(Duration::from_millis(1)), Ok(false));
    pool.join().unwrap();
    assert!(jobs.into_iter().all(|job| matches!(job.wait_for(Duration::ZERO), Ok(Ok(_)))));
}
