//! Workers are killed, stopped, and end by themselves, at every point.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use process::{
    Exit, Pool, System,
    pool::{TaskError, Workers},
};
use rustix::process::{Pid, Signal, kill_process};
use shm::wire::Passed;

use super::{
    LIMIT, Test,
    ends::signal,
    subject::{Subject, SubjectCommand, all, log, next, pool},
};

pub const TESTS: &[Test] = &[
    ("an_idle_worker_that_is_killed_is_replaced", idle),
    ("a_worker_killed_at_a_task_costs_that_task_alone", at_a_task),
    ("a_worker_killed_while_it_sends_50_mb_costs_that_task_alone", sending),
    ("all_workers_killed_at_once_cost_what_they_had_begun", all_at_once),
    ("a_worker_that_ends_by_itself_is_a_lost_worker", ends_by_itself),
    ("a_lost_task_is_done_again_if_that_was_asked_for", redelivered),
    ("a_task_that_always_kills_is_a_dead_letter_and_the_others_are_done", poison),
    ("a_storm_of_kills_costs_no_more_than_it_must", storm),
    ("in_a_storm_of_kills_all_is_done_at_least_once", storm_again),
    ("what_waits_at_a_stopped_worker_is_done_by_others", stopped),
    ("what_a_dead_worker_had_finished_counts", finished_counts),
    ("a_large_task_at_a_dying_worker_is_sent_again", large_again),
];

fn idle(system: &System) {
    let pool = pool(system, 2);
    let before = pool.workers();
    for round in 0..3 {
        let killed = signal(&pool, round % 2, Signal::KILL);
        let results = pool.map(0..100, |worker, number| worker.square(number)).unwrap();
        assert!(results.into_iter().zip(0..).all(|(result, number)| result.unwrap() == number * number));
        super::wait_until("it is replaced", || {
            let workers = pool.workers();
            workers.len() == 2 && workers.iter().all(|worker| worker.pid.is_some_and(|pid| pid != killed))
        });
    }
    assert_ne!(pool.workers(), before);
    signal(&pool, 0, Signal::KILL);
    let ending = Instant::now();
    pool.terminate();
    pool.join().unwrap();
    assert!(ending.elapsed() < Duration::from_secs(2), "CPython hangs here: {:?}", ending.elapsed());
}

fn at_a_task(system: &System) {
    let pool = pool(system, 2);
    let (begun, writer) = log();
    let results = pool
        .map(
            0..500,
            |worker, number| {
                if number == 77 { worker.die_at(77, 77) } else { worker.logged(number, 50, writer.clone()) }
            },
        )
        .unwrap();
    for (number, result) in (0..).zip(results) {
        match result {
            Ok(answer) => assert_eq!(answer, number),
            Err(TaskError::WorkerLost { how, worker }) => {
                assert_eq!((number, how), (77, Exit::Signal(9)));
                assert!(worker.starts_with("subject.p"), "{worker}");
            }
            Err(other) => panic!("{number}: {other}"),
        }
    }
    drop(pool);
    let mut done = all(begun, writer);
    done.sort_unstable();
    assert!(done.iter().copied().eq((0..500).filter(|number| *number != 77)), "each exactly once");
}

fn sending(system: &System) {
    let pool = pool(system, 2);
    let mut lost = 0;
    for round in 0..12u32 {
        let job = pool.apply_async(|worker| worker.text(50_000_000)).unwrap();
        let others: Vec<_> = (0..50).map(|n| pool.apply_async(|worker| worker.square(n)).unwrap()).collect();
        let kill_at = Instant::now() + Duration::from_millis(u64::from(round) * 8);
        super::wait_until("it is time", || Instant::now() >= kill_at);
        let victims = pool.workers();
        for pid in victims.iter().filter_map(|worker| Pid::from_raw(worker.pid?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
        match job.wait_for(LIMIT).unwrap() {
            Ok(text) => assert_eq!(text.len(), 50_000_000),
            Err(TaskError::WorkerLost { .. }) => lost += 1,
            Err(other) => panic!("{other}"),
        }
        let others = others.into_iter().map(|job| job.wait_for(LIMIT).unwrap());
        let lost_others = others.filter(|result| matches!(result, Err(TaskError::WorkerLost { .. }))).count();
        assert!(lost_others <= 2, "{lost_others} in round {round}");
    }
    assert!(lost > 0, "no kill met a result on its way");
}

fn kill_all(pool: &Pool<Subject>) -> usize {
    let pids: Vec<Pid> = pool.workers().iter().filter_map(|worker| Pid::from_raw(worker.pid?)).collect();
    pids.iter().filter(|pid| kill_process(**pid, Signal::KILL).is_ok()).count()
}

fn all_at_once(system: &System) {
    let pool = pool(system, 4);
    let (mut begun, writer) = log();
    let results = std::thread::scope(|scope| {
        let (mapped, writer) = (&pool, &writer);
        let mapping =
            scope.spawn(move || mapped.map(0..800, |worker, n| worker.logged(n, 500, writer.clone())).unwrap());
        for _ in 0..20 {
            next(&mut begun);
        }
        assert_eq!(kill_all(&pool), 4);
        mapping.join().unwrap()
    });
    let lost = results.iter().filter(|result| matches!(result, Err(TaskError::WorkerLost { .. }))).count();
    assert!(lost <= 4 && results.iter().filter(|result| result.is_ok()).count() == 800 - lost, "{lost} lost");
}

fn ends_by_itself(system: &System) {
    let pool = pool(system, 2);
    for code in [0, 3] {
        let told = pool.apply(|worker| worker.leave(code)).unwrap_err();
        assert!(matches!(&told, TaskError::WorkerLost { how, .. } if *how == Exit::Code(code)), "{told}");
    }
    assert_eq!(pool.apply(|worker| worker.square(3)).unwrap(), 9);
}

fn once() -> (std::io::PipeWriter, Passed) {
    let (read, mut write) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut write, b"!").unwrap();
    (write, Passed::new(read))
}

fn redelivered(system: &System) {
    let pool = pool(system, Workers::new(2).redeliver(3));
    let (write, read) = once();
    drop(write);
    assert_eq!(pool.apply(|worker| worker.die_once(read.clone())).unwrap(), 7);
    assert!(pool.dead_letters().is_empty());
}

fn poison(system: &System) {
    let pool = pool(system, Workers::new(2).redeliver(3));
    let results = pool.map(0..300, |worker, number| worker.die_at(number, 100)).unwrap();
    for (number, result) in (0..).zip(results) {
        match result {
            Ok(answer) => assert_eq!(answer, number),
            Err(TaskError::DeadLetter { deliveries: 3, how: Exit::Signal(9) }) => assert_eq!(number, 100),
            Err(other) => panic!("{number}: {other}"),
        }
    }
    let letters = pool.dead_letters();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter.deliveries, 3);
    let command: SubjectCommand = letter.command.decode().unwrap();
    assert!(matches!(command, SubjectCommand::DieAt { number: 100, bad: 100 }));
    assert!(pool.dead_letters().is_empty(), "they are told of once");
}

/// Kills workers of a pool at odd moments while it does 4,000 short tasks; gives how many times each was begun, its
/// results, and the number of kills.
fn in_a_storm(system: &System, workers: Workers) -> (BTreeMap<u64, u32>, Vec<Result<u64, TaskError>>, usize) {
    let pool = pool(system, workers);
    let (mut begun, writer) = log();
    let (over, mut kills) = (AtomicBool::new(false), 0);
    let mut counts = BTreeMap::new();
    let results = std::thread::scope(|scope| {
        let (pool, over) = (&pool, &over);
        let theirs = writer.clone();
        let mapping = scope.spawn(move || {
            let results = pool.map(0..4000, |worker, number| worker.logged(number, 100, theirs.clone()));
            over.store(true, Ordering::Relaxed);
            results.unwrap()
        });
        let mut seed = 1u32;
        while !over.load(Ordering::Relaxed) && kills < 60 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // So many tasks on, one is killed: there is progress between any two kills.
            let pause = (0..seed >> 27).take_while(|_| !over.load(Ordering::Relaxed));
            pause.for_each(|_| *counts.entry(next(&mut begun)).or_insert(0) += 1);
            let workers = pool.workers();
            let victim = workers.get((seed >> 16) as usize % workers.len().max(1)).and_then(|worker| worker.pid);
            let victim = victim.and_then(Pid::from_raw);
            kills += usize::from(victim.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()));
        }
        mapping.join().unwrap()
    });
    drop(pool);
    all(begun, writer).into_iter().for_each(|number| *counts.entry(number).or_insert(0) += 1);
    (counts, results, kills)
}

fn storm(system: &System) {
    let (counts, results, kills) = in_a_storm(system, Workers::new(3));
    let lost = results.iter().filter(|result| result.is_err()).count();
    println!("     ({kills} kills, {lost} tasks lost)");
    assert!(kills >= 5 && lost <= kills, "{lost} lost by {kills} kills");
    for (number, result) in (0..).zip(&results) {
        match result {
            Ok(answer) => assert_eq!((*answer, counts.get(&number)), (number, Some(&1)), "exactly once"),
            // It may have died before it could say that it had begun.
            Err(TaskError::WorkerLost { .. }) => assert!(counts.get(&number).is_none_or(|count| *count == 1)),
            Err(other) => panic!("{number}: {other}"),
        }
    }
}

fn storm_again(system: &System) {
    let (counts, results, kills) = in_a_storm(system, Workers::new(3).redeliver(50));
    let again: u32 = counts.values().map(|count| count - 1).sum();
    println!("     ({kills} kills, {again} tasks begun again)");
    assert!(again as usize <= kills);
    for (number, result) in (0..).zip(&results) {
        assert_eq!(*result.as_ref().unwrap(), number);
        assert!(counts[&number] >= 1);
    }
}

fn stopped(system: &System) {
    let pool = pool(system, 2);
    let (mut begun, writer) = log();
    std::thread::scope(|scope| {
        let (mapped, theirs) = (&pool, writer.clone());
        let mapping = scope.spawn(move || {
            let results = mapped.imap_unordered(0..300, |worker, n| worker.logged(n, 200, theirs.clone())).unwrap();
            results.take(299).map(Result::unwrap).count()
        });
        for _ in 0..10 {
            next(&mut begun);
        }
        signal(&pool, 0, Signal::STOP);
        // All but what the stopped one has begun.
        assert_eq!(mapping.join().unwrap(), 299);
    });
    let idle = (0..4).map(|n| pool.apply_async(|worker| worker.square(n)).unwrap());
    for (job, number) in idle.zip(0..) {
        assert_eq!(
            job.wait_for(LIMIT).unwrap().unwrap(),
            number * number,
            "also if it was sent to the stopped one first"
        );
    }
    let ending = Instant::now();
    pool.terminate();
    pool.join().unwrap();
    assert!(ending.elapsed() < Duration::from_secs(2), "{:?}", ending.elapsed());
}

fn finished_counts(system: &System) {
    let pool = pool(system, 1);
    // Short tasks, so that the worker gets many at once.
    assert_eq!(pool.map(0..200, |worker, number| worker.square(number)).unwrap().len(), 200);
    let first = pool.apply_async(|worker| worker.compute(30_000)).unwrap();
    let sizes = [1, 5_000, 100_000, 2];
    let rest: Vec<_> = sizes.iter().map(|bytes| pool.apply_async(|worker| worker.text(*bytes)).unwrap()).collect();
    let last = pool.apply_async(|worker| worker.die_at(1, 1)).unwrap();
    let after = pool.apply_async(|worker| worker.square(3)).unwrap();
    // The pool's thread looks away while the worker finishes the others and dies.
    first.on_done(|_| std::thread::sleep(Duration::from_millis(300))); // sleep: nothing can be waited for here
    for (job, bytes) in rest.into_iter().zip(sizes) {
        assert_eq!(job.wait_for(LIMIT).unwrap().unwrap().len(), bytes);
    }
    assert!(matches!(last.wait(), Err(TaskError::WorkerLost { .. })));
    assert_eq!(after.wait().unwrap(), 9);
}

fn large_again(system: &System) {
    let pool = pool(system, 1);
    let (gate, open) = std::io::pipe().unwrap();
    let first = pool.apply_async(|worker| worker.wait_for(Passed::new(gate))).unwrap();
    let second = pool.apply_async(|worker| worker.whole_text("x".repeat(3_000_000))).unwrap();
    super::wait_until("the pool has them", || pool.apply_async(|worker| worker.square(1)).unwrap().cancel());
    signal(&pool, 0, Signal::KILL);
    // The first may not have been begun; the other end of its pipe is closed, so that it fails then.
    drop(open);
    assert!(first.wait().is_err());
    assert_eq!(second.wait().unwrap(), 3_000_000);
}
