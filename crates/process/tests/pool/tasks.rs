//! What can be said of tasks: progress, priorities, cancelling, descriptors.

use std::{
    fs::{self, File},
    io::Read,
    path::PathBuf,
    time::Duration,
};

use process::{
    Pool, System,
    pool::{Progress, TaskError},
};
use shm::wire::Passed;

use super::{
    Test,
    subject::{Subject, log, next, pool},
};

pub const TESTS: &[Test] = &[
    ("progress_is_told_until_all_is_done", progress),
    ("higher_priorities_are_done_first", priorities),
    ("a_task_that_waits_is_cancelled_and_one_that_runs_is_not", cancelling),
    ("an_imap_that_is_dropped_gives_its_workers_back", dropped_imap),
    ("descriptors_travel_in_tasks_and_results", descriptors),
    ("large_and_small_results_go_together", large_and_small),
    ("a_task_that_waits_behind_a_long_one_is_given_to_an_idle_worker", evened_out),
    ("a_pool_is_used_by_many_threads", many_threads),
    ("a_pool_with_nothing_or_one_long_task_to_do_sleeps", sleeps),
    ("more_workers_than_tasks_and_more_tasks_than_workers", spread),
];

fn progress(system: &System) {
    let pool = pool(system, 2);
    let mut told = Vec::new();
    let results = pool.progress(|progress| told.push(progress)).map(0..500, |worker, n| worker.panic_at(n, 9)).unwrap();
    assert_eq!(results.len(), 500);
    let last = Progress { done: 500, failed: 1, read: 500, total: Some(500) };
    assert_eq!(told.last(), Some(&last));
    assert!(told.windows(2).all(|two| two[0].done < two[1].done && two[1].done <= two[1].read));
}

fn priorities(system: &System) {
    let pool = pool(system, 1);
    let (gate, mut open) = std::io::pipe().unwrap();
    let (mut order, writer) = log();
    let first = pool.apply_async(|worker| worker.wait_for(Passed::new(gate))).unwrap();
    // The worker may have one more before it; that isn't taken back.
    drop(pool.apply_async(|worker| worker.square(0)).unwrap());
    let jobs: Vec<_> = [0, 0, 5, -1, 5]
        .into_iter()
        .zip(1..)
        .map(|(priority, number)| {
            pool.priority(priority).apply_async(|worker| worker.logged(number, 0, writer.clone())).unwrap()
        })
        .collect();
    super::wait_until("the pool has them all", || pool.apply_async(|worker| worker.square(1)).unwrap().cancel());
    std::io::Write::write_all(&mut open, b"!").unwrap();
    first.wait().unwrap();
    jobs.into_iter().for_each(|job| assert!(job.wait().is_ok()));
    assert_eq!((0..5).map(|_| next(&mut order)).collect::<Vec<_>>(), [3, 5, 1, 2, 4]);
}

fn cancelling(system: &System) {
    let pool = pool(system, 1);
    let (mut begun, writer) = log();
    let running = pool.apply_async(|worker| worker.logged(1, 200_000, writer.clone())).unwrap();
    let sent = pool.apply_async(|worker| worker.logged(2, 0, writer.clone())).unwrap();
    let queued = pool.apply_async(|worker| worker.logged(3, 0, writer.clone())).unwrap();
    assert_eq!(next(&mut begun), 1);
    assert!(!running.cancel(), "it runs");
    assert!(sent.cancel() && queued.cancel() && !queued.cancel());
    assert!(matches!(sent.wait(), Err(TaskError::Cancelled)));
    assert_eq!(running.wait().unwrap(), 1);
    assert_eq!(pool.apply(|worker| worker.logged(4, 0, writer.clone())).unwrap(), 4);
    assert_eq!(next(&mut begun), 4, "the cancelled ones were never begun");
    assert!(matches!(queued.wait(), Err(TaskError::Cancelled)));
}

fn dropped_imap(system: &System) {
    let pool = pool(system, 2);
    let (mut begun, writer) = log();
    let results = pool.imap(0..100, |worker, number| worker.logged(number, 50_000, writer.clone())).unwrap();
    next(&mut begun);
    drop(results);
    assert_eq!(pool.apply(|worker| worker.square(3)).unwrap(), 9);
    pool.close();
    pool.join().unwrap();
    assert!(super::subject::all(begun, writer).len() < 10);
}

fn descriptors(system: &System) {
    let pool = pool(system, 2);
    let pipes = (0..10).map(|number: u8| {
        let (read, mut write) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut write, &[number]).unwrap();
        Passed::new(read)
    });
    let results = pool.map(pipes, |worker, pipe| worker.same(pipe)).unwrap();
    for (number, result) in results.into_iter().enumerate() {
        let mut byte = [0];
        File::from(result.unwrap().into_owned().unwrap()).read_exact(&mut byte).unwrap();
        assert_eq!(usize::from(byte[0]), number);
    }
    // More than a message carries: the task's own error. (Clones would be one descriptor.)
    let many: Vec<Passed> = (0..254).map(|_| Passed::new(File::open("/dev/null").unwrap())).collect();
    let many = pool.apply(|worker| worker.call::<_, ()>(&many));
    assert!(matches!(many, Err(TaskError::NotSent { .. })), "{many:?}");
}

fn large_and_small(system: &System) {
    let pool = pool(system, 2);
    let sizes = [10, 5_000, 70_000, 3_000_000, 0, 4_090, 4_096, 4_100];
    let results = pool.map((0..80).map(|index| sizes[index % 8]), |worker, bytes| worker.text(bytes)).unwrap();
    for (index, result) in results.into_iter().enumerate() {
        assert_eq!(result.unwrap().len(), sizes[index % 8]);
    }
}

fn evened_out(system: &System) {
    let pool = pool(system, 2);
    // Many short ones, so that each worker has many before it; then one of them is long.
    let results =
        pool.map(0..2000, |worker, number| worker.compute(if number == 1000 { 400_000 } else { 20 })).unwrap();
    let pids: Vec<i32> = results.into_iter().map(Result::unwrap).collect();
    let busy = pids[1000];
    let behind = pids[1001..].iter().filter(|pid| **pid == busy).count();
    assert!(behind < 100, "{behind} waited for the long one");
}

fn many_threads(system: &System) {
    let pool = pool(system, 2);
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..20 {
                    let first = thread * 1000 + round;
                    let results = pool.imap(first..first + 20, |worker, number| worker.square(number)).unwrap();
                    for (result, number) in results.zip(first..) {
                        assert_eq!(result.unwrap(), number * number);
                    }
                    assert_eq!(pool.apply(|worker| worker.add(first, 1)).unwrap(), first + 1);
                }
            });
        }
    });
}

/// How often the pool's thread and its workers have gone to sleep so far.
fn sleeps_of(pool: &Pool<Subject>) -> u64 {
    let own = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let own = own.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "pool"));
    let workers = pool.workers().into_iter().map(|worker| PathBuf::from(format!("/proc/{}", worker.pid.unwrap())));
    let count = |path: PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    own.chain(workers).map(count).sum()
}

fn sleeps(system: &System) {
    let pool = pool(system, 2);
    assert_eq!(pool.map(0..10_000, |worker, number| worker.square(number)).unwrap().len(), 10_000);
    let (mut begun, writer) = log();
    for busy in [false, true] {
        if busy {
            drop(pool.apply_async(|worker| worker.stay(writer.clone())).unwrap());
            next(&mut begun);
        }
        std::thread::sleep(Duration::from_millis(200)); // sleep: it settles
        let before = sleeps_of(&pool);
        std::thread::sleep(Duration::from_millis(500)); // sleep: this is what is measured
        assert_eq!(sleeps_of(&pool), before, "with a long task: {busy}");
    }
}

fn spread(system: &System) {
    let pool = pool(system, 4);
    assert_eq!(pool.map(0..2, |worker, number| worker.square(number)).unwrap().len(), 2);
    assert_eq!(pool.map(0..9, |worker, number| worker.square(number)).unwrap().len(), 9);
    let (mut begun, writer) = log();
    for _ in 0..4 {
        drop(pool.apply_async(|worker| worker.stay(writer.clone())).unwrap());
    }
    // Who has begun one stays at it, so four have begun only if each has one.
    for _ in 0..4 {
        next(&mut begun);
    }
}
