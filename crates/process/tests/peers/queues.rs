//! CPython's queues hang, or say that they are empty, when one who reads them is killed.

use std::thread;

use process::System;
use shm::{
    arena::Arena,
    queue::{Acknowledge, Queue, QueueOptions},
};

use super::{
    rounds::{answers, kill, start, until_asleep},
    runner::{LIMIT, Test},
    subject::Begun,
};

pub const TESTS: &[Test] = &[
    ("a_queue_is_joined_though_a_consumer_was_killed", join),
    ("an_item_is_had_though_another_reader_was_killed", get),
];

fn queue(acknowledge: Acknowledge) -> (Queue<u64>, Begun) {
    let options = QueueOptions { capacity: 16, acknowledge, ..QueueOptions::default() };
    let arena = Arena::create(options.bytes().unwrap() + (1 << 16)).unwrap();
    (Queue::create(&arena, options).unwrap(), Begun::create(&arena))
}

/// CPython: `JoinableQueue.join` never returns: the item that the dead one had is never done.
fn join(system: &System) {
    const LAST: u64 = 4;
    let (queue, begun) = queue(Acknowledge::ByTaskDone);
    answers(|| {
        let (victim, living) = (start(system, "victim"), start(system, "living"));
        (0..=LAST).for_each(|item| queue.put(item).unwrap());
        victim.keep_one(queue.clone(), begun.clone()).detach();
        begun.wait();
        // It works off the others, and then what comes back.
        living.work_off(queue.clone(), LAST).wait_for(LIMIT).unwrap();
        thread::scope(|scope| {
            let joining = scope.spawn(|| queue.join_for(LIMIT));
            living.work_off(queue.clone(), 0).detach();
            let killed = kill(victim.process_id().unwrap());
            joining.join().unwrap().unwrap();
            killed.elapsed()
        })
    });
}

/// CPython: `get(timeout)` says `Empty` though an item is there, since the dead one has the lock of the readers.
fn get(system: &System) {
    let (queue, begun) = queue(Acknowledge::OnReturn);
    let living = start(system, "living");
    answers(|| {
        let victim = start(system, "victim");
        victim.get(queue.clone(), 60_000, begun.clone()).detach();
        until_asleep(begun.wait());
        let killed = kill(victim.process_id().unwrap());
        queue.put(7).unwrap();
        assert_eq!(living.get(queue.clone(), 2000, begun.clone()).wait_for(LIMIT).unwrap(), Some(7));
        begun.wait();
        killed.elapsed()
    });
}
