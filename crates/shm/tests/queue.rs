//! What a queue promises, in one process; `queue_kill.rs` has the deaths.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};
use shm::{
    arena::Arena,
    doorbell::Doorbell,
    queue::{Acknowledge, GetError, JoinError, Lease, PutError, Queue, QueueError, QueueOptions},
    wire::{Packet, Passed},
};

const PATIENCE: Duration = Duration::from_secs(10);

fn queue<T>(options: QueueOptions) -> Queue<T> {
    let arena = Arena::create(options.bytes().unwrap()).unwrap();
    Queue::create(&arena, options).unwrap()
}

fn of_capacity<T>(capacity: usize) -> Queue<T> {
    queue(QueueOptions { capacity, ..QueueOptions::default() })
}

#[test]
fn a_full_queue_gives_the_item_back() {
    let queue = of_capacity(2);
    queue.put("a".to_owned()).unwrap();
    queue.put("b".to_owned()).unwrap();
    assert!(queue.is_full());
    let Err(PutError::Full(item)) = queue.try_put("c".to_owned()) else { panic!() };
    let began = Instant::now();
    let error = queue.put_for(item, Duration::from_millis(30)).unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(30));
    assert_eq!(
        (error.to_string().as_str(), error.into_item().as_str()),
        ("put an item: the queue is full; wait longer, get faster, or make the queue larger", "c")
    );
    assert_eq!((queue.get().unwrap(), queue.get().unwrap()), ("a".to_owned(), "b".to_owned()));
    assert!(matches!(queue.get_for(Duration::from_millis(10)), Err(GetError::Empty)));
}

#[test]
fn as_many_wait_as_may_whatever_is_out() {
    let queue = of_capacity::<u64>(4);
    let mut leases = Vec::new();
    for round in 0..4 {
        queue.put(round).unwrap();
        leases.push(queue.lease().unwrap());
    }
    (0..4).for_each(|number| queue.try_put(number).unwrap());
    assert!(queue.is_full());
    assert_eq!((queue.len(), queue.leased(), queue.unfinished()), (4, 4, 8));
}

#[test]
fn items_of_any_size_and_shape() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug, Clone)]
    enum Shape {
        Nothing,
        Text(String),
        Record { bytes: Vec<u8>, nested: Option<Box<Shape>> },
    }
    let queue = queue(QueueOptions { large_bytes: 1 << 20, ..QueueOptions::default() });
    for size in [0, 1, 7, 8, 200, 250, 254, 255, 256, 257, 4095, 4096, 4097, 8192, 100_000, 500_000] {
        let nested = Some(Box::new(Shape::Text("x".repeat(size))));
        let bytes = (0..size).map(|index| index as u8).collect();
        for item in [Shape::Nothing, Shape::Text("y".repeat(size)), Shape::Record { bytes: Vec::new(), nested }] {
            queue.try_put(item.clone()).unwrap();
            assert_eq!(queue.try_get().unwrap(), item);
        }
        let item = Shape::Record { bytes, nested: None };
        queue.try_put(item.clone()).unwrap();
        let lease = queue.try_lease().unwrap();
        assert_eq!(*lease, item);
        drop(lease);
        assert_eq!(queue.try_lease().unwrap().done(), item);
    }
    queue.join_for(Duration::ZERO).unwrap();
}

#[test]
fn large_items_wait_for_blocks() {
    let queue = queue(QueueOptions { large_bytes: 64 * 1024, ..QueueOptions::default() });
    let large = || vec![1u8; 40_000];
    queue.put(large()).unwrap();
    assert!(matches!(queue.try_put(large()), Err(PutError::Full(_))));
    queue.try_put(vec![2; 100]).unwrap(); // a small one needs none
    std::thread::scope(|scope| {
        let puts = scope.spawn(|| queue.put_for(large(), PATIENCE));
        assert_eq!(queue.get().unwrap(), large());
        puts.join().unwrap().unwrap();
    });
    assert!(matches!(queue.put(vec![0; 70_000]), Err(PutError::TooLarge { most_bytes: 65_536, .. })));
    assert_eq!((queue.get().unwrap().len(), queue.get().unwrap().len()), (100, 40_000));
}

#[test]
fn what_is_no_item_is_refused() {
    let queue = of_capacity::<Passed>(2);
    let descriptor = Passed::new(rustix::io::dup(std::io::stdin()).unwrap());
    assert!(matches!(queue.put(descriptor), Err(PutError::Descriptors { descriptors: 1, .. })));
    assert!(queue.is_empty());

    let numbers = of_capacity::<u64>(2);
    let texts: Queue<String> = Packet::encode(&numbers).unwrap().decode().unwrap();
    numbers.put(1).unwrap();
    numbers.put(2).unwrap();
    assert!(matches!(texts.get(), Err(GetError::Decode(_))));
    assert!(matches!(texts.lease(), Err(GetError::Decode(_))));
    numbers.join_for(Duration::ZERO).unwrap();
}

#[test]
fn options_that_cannot_be() {
    let arena = Arena::create(4096).unwrap();
    let create = |options| Queue::<u8>::create(&arena, options).map(drop).unwrap_err();
    let with = QueueOptions::default;
    assert!(matches!(create(QueueOptions { capacity: 0, ..with() }), QueueError::NoCapacity));
    for options in [
        QueueOptions { capacity: usize::MAX, ..with() },
        QueueOptions { capacity: 1 << 24, ..with() },
        QueueOptions { leases: Some(usize::MAX), ..with() },
        QueueOptions { inline_bytes: usize::MAX, ..with() },
        QueueOptions { large_bytes: usize::MAX, ..with() },
        QueueOptions { dead_letters: usize::MAX, ..with() },
    ] {
        assert!(matches!(create(options.clone()), QueueError::TooLarge), "{options:?}");
    }
    assert!(matches!(create(with()), QueueError::Arena(_)), "the arena is too small");
    let least = QueueOptions { capacity: 1, leases: Some(0), inline_bytes: 0, large_bytes: 0, ..with() };
    assert!(matches!(queue(least).put(0u8), Err(PutError::TooLarge { most_bytes: 0, .. })));
}

#[test]
fn a_close_wakes_everybody() {
    let queue = of_capacity::<u32>(1);
    std::thread::scope(|scope| {
        let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.get())).collect();
        queue.put(1).unwrap();
        queue.close().unwrap();
        let got = getters.into_iter().map(|getter| getter.join().unwrap());
        let (items, ends): (Vec<_>, Vec<_>) = got.partition(Result::is_ok);
        assert_eq!((items.len(), ends.len()), (1, 2));
        assert!(ends.iter().all(|end| matches!(end, Err(GetError::Closed))));
    });
    let full = of_capacity::<u32>(1);
    full.put(1).unwrap();
    std::thread::scope(|scope| {
        let putter = scope.spawn(|| full.put(2));
        full.close().unwrap();
        assert!(matches!(putter.join().unwrap(), Err(PutError::Closed(2))));
    });
    assert!(full.is_closed());
    full.close().unwrap();
    let lease = full.lease().unwrap();
    assert!(matches!(full.try_get(), Err(GetError::Closed)));
    drop(lease);
    assert_eq!(full.try_get().unwrap(), 1, "what comes back after the end is still to be got");
}

#[test]
fn a_join_waits_for_what_was_put_before_it() {
    let queue = of_capacity::<u32>(8);
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    let leases = [queue.lease().unwrap(), queue.lease().unwrap()];
    assert!(matches!(queue.join_for(Duration::from_millis(10)), Err(JoinError::TimedOut { unfinished: 2 })));
    std::thread::scope(|scope| {
        let joins = scope.spawn(|| queue.join_for(PATIENCE));
        for lease in leases {
            lease.done();
        }
        joins.join().unwrap().unwrap();
    });
}

#[test]
fn by_task_done_the_oldest_is_done_first() {
    let queue = queue::<u32>(QueueOptions { acknowledge: Acknowledge::ByTaskDone, ..QueueOptions::default() });
    let same: Queue<u32> = Packet::encode(&queue).unwrap().decode().unwrap();
    for number in 0..3 {
        queue.put(number).unwrap();
    }
    assert_eq!((queue.get().unwrap(), same.get().unwrap()), (0, 1));
    same.task_done().unwrap();
    assert_eq!((queue.unfinished(), queue.leased()), (2, 1));
    queue.task_done().unwrap();
    assert!(queue.task_done().is_err());
    assert_eq!(queue.unfinished(), 1);
    queue.get().unwrap();
    // With its last handle here, the process gives up what it has not done.
    let message = Packet::encode(&queue).unwrap();
    drop((queue, same));
    let again: Queue<u32> = message.decode().unwrap();
    assert_eq!((again.len(), again.leased()), (1, 0));
    assert_eq!(again.lease().unwrap().deliveries(), 2);
}

#[test]
fn dead_letters_are_kept_and_never_too_many() {
    let queue = queue::<u32>(QueueOptions { max_deliveries: 2, dead_letters: 2, ..QueueOptions::default() });
    for number in 0..3 {
        queue.put(number).unwrap();
    }
    for _ in 0..4 {
        drop(queue.lease().unwrap());
    }
    assert_eq!((queue.dead_letters(), queue.len(), queue.unfinished()), (2, 1, 1));
    for _ in 0..5 {
        drop(queue.lease().unwrap());
    }
    let last = queue.lease().unwrap();
    assert_eq!((*last, last.deliveries()), (2, 6), "there is no room for another dead letter: it is delivered on");
    last.done();
    queue.join_for(Duration::ZERO).unwrap();
    let letter = queue.take_dead_letter().unwrap().unwrap();
    assert_eq!((*letter, letter.deliveries()), (0, 2));
    drop(letter);
    assert_eq!(queue.dead_letters(), 2, "it is one again");
    assert_eq!(queue.take_dead_letter().unwrap().unwrap().done(), 0);
    assert_eq!(queue.take_dead_letter().unwrap().unwrap().done(), 1);
    assert_eq!(queue.dead_letters(), 0);
}

#[test]
fn many_threads_lose_nothing() {
    const EACH: u64 = 20_000;
    let queue = of_capacity::<(u64, u64)>(16);
    let mut got: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let consume = || {
            let mine: Vec<(u64, u64)> = std::iter::from_fn(|| queue.get().ok()).collect();
            for producer in 0..3 {
                let numbers = mine.iter().filter(|item| item.0 == producer).map(|item| item.1);
                assert!(numbers.is_sorted(), "out of order");
            }
            mine
        };
        let consumers: Vec<_> = (0..3).map(|_| scope.spawn(consume)).collect();
        std::thread::scope(|scope| {
            for producer in 0..3 {
                let queue = &queue;
                scope.spawn(move || (0..EACH).for_each(|number| queue.put((producer, number)).unwrap()));
            }
        });
        queue.join_for(PATIENCE * 3).unwrap();
        queue.close().unwrap();
        consumers.into_iter().flat_map(|consumer| consumer.join().unwrap()).collect()
    });
    got.sort_unstable();
    let all: Vec<(u64, u64)> = (0..3).flat_map(|producer| (0..EACH).map(move |number| (producer, number))).collect();
    assert_eq!(got.len(), all.len());
    assert!(got == all);
}

#[test]
fn a_forked_child_is_told() {
    let queue = of_capacity::<u32>(2);
    queue.put(1).unwrap();
    queue.put(2).unwrap();
    let lease = queue.lease().unwrap();
    // SAFETY: the child calls only what needs no other thread, and ends by _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let told = matches!(queue.try_put(3), Err(PutError::Forked(3)))
            && matches!(queue.try_get(), Err(GetError::Forked(_)))
            && queue.close().is_err()
            && queue.join().is_err();
        drop(lease);
        drop(queue);
        // SAFETY: ends this process without running anything of the parent's.
        unsafe { libc::_exit(if told { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!((queue.len(), queue.leased()), (1, 1), "the child's drop is not ours");
    assert_eq!(lease.done(), 1);
}

#[test]
fn tasks_wait_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let queue = of_capacity::<u64>(4);
        let consumer = queue.clone();
        let consumes = tokio::spawn(async move {
            let mut sum = 0;
            for turn in 0..2000 {
                sum += if turn % 2 == 0 {
                    consumer.get_async().await.unwrap()
                } else {
                    consumer.lease_async().await.unwrap().done()
                };
            }
            (sum, matches!(consumer.get_async().await, Err(GetError::Closed)))
        });
        for number in 0..2000 {
            queue.put_async(number).await.unwrap();
        }
        queue.close().unwrap();
        assert_eq!(consumes.await.unwrap(), (1999 * 1000, true));
        assert!(matches!(queue.put_async(1).await, Err(PutError::Closed(1))));
    });
}

#[test]
fn a_task_that_is_dropped_takes_nothing_and_holds_nobody_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let queue = of_capacity::<u64>(4);
    runtime.block_on(async {
        for _ in 0..20 {
            let given_up = tokio::time::timeout(Duration::from_millis(2), queue.get_async()).await;
            assert!(given_up.is_err());
        }
    });
    std::thread::scope(|scope| {
        let getter = scope.spawn(|| queue.get_for(PATIENCE));
        queue.put(7).unwrap();
        assert_eq!(getter.join().unwrap().unwrap(), 7);
    });
}

#[test]
fn a_doorbell_rings_for_an_item_and_for_room() {
    let (queue, bell) = (of_capacity::<u64>(1), Doorbell::new().unwrap());
    let rung = || {
        let mut ready = [PollFd::new(&bell, PollFlags::IN)];
        let limit = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };
        let readable = poll(&mut ready, Some(&limit)).unwrap() == 1;
        bell.quiet();
        readable
    };
    for number in 0..20 {
        let ringing = queue.ring_for_items(&bell).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| queue.put(number).unwrap());
            assert!(rung());
        });
        drop(ringing);
        assert_eq!(queue.get().unwrap(), number);
    }
    queue.put(1).unwrap();
    let _ringing = queue.ring_for_items(&bell).unwrap();
    assert!(rung(), "an item is there already");
    let _ringing = queue.ring_for_room(&bell).unwrap();
    queue.get().unwrap();
    assert!(rung());
    assert!(queue.try_put(2).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize),
    Get,
    Lease,
    /// Of those that are out, the so many-th.
    Done(usize),
    GiveBack(usize),
    TakeDead,
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..6000).prop_map(Step::Put),
        4 => Just(Step::Get),
        6 => Just(Step::Lease),
        4 => (0usize..8).prop_map(Step::Done),
        4 => (0usize..8).prop_map(Step::GiveBack),
        1 => Just(Step::TakeDead),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// The oracle: a queue is two lists in order of tickets, what came back and what waits, and the first comes first.
    #[test]
    fn a_queue_is_as_simple_as_two_lists(steps in steps(), capacity in 1usize..6) {
        const MAX: u32 = 3;
        let options = QueueOptions {
            capacity, leases: Some(200), large_bytes: 400 * 4096, max_deliveries: MAX, dead_letters: 200,
            ..QueueOptions::default()
        };
        let queue = queue::<(u64, Vec<u8>)>(options);
        let (mut waits, mut back, mut dead) = (VecDeque::new(), Vec::<(u64, u32)>::new(), Vec::<u64>::new());
        let (mut out, mut next, mut closed) = (Vec::<(Lease<(u64, Vec<u8>)>, u32)>::new(), 0, false);
        for step in steps {
            match step {
                Step::Put(bytes) => {
                    let put = queue.try_put((next, vec![next as u8; bytes]));
                    if closed {
                        prop_assert!(matches!(put, Err(PutError::Closed(_))));
                    } else if waits.len() == capacity {
                        prop_assert!(matches!(put, Err(PutError::Full(_))));
                    } else {
                        prop_assert!(put.is_ok(), "{:?}", put);
                        waits.push_back(next);
                        next += 1;
                    }
                }
                Step::Get | Step::Lease => {
                    back.sort_unstable();
                    let expected = if back.is_empty() { waits.pop_front().map(|ticket| (ticket, 0)) }
                        else { Some(back.remove(0)) };
                    match (queue.try_lease(), expected) {
                        (Ok(lease), Some((ticket, before))) => {
                            prop_assert_eq!((lease.0, lease.deliveries()), (ticket, before + 1));
                            prop_assert!(lease.1.iter().all(|byte| *byte == ticket as u8));
                            if matches!(step, Step::Get) { lease.done(); } else { out.push((lease, before + 1)); }
                        }
                        (Err(GetError::Empty), None) => prop_assert!(!closed),
                        (Err(GetError::Closed), None) => prop_assert!(closed),
                        (got, expected) => prop_assert!(false, "{:?}, not {:?}", got, expected),
                    }
                }
                Step::Done(index) => {
                    if index < out.len() { out.swap_remove(index).0.done(); }
                }
                Step::GiveBack(index) => {
                    if index < out.len() {
                        let (lease, deliveries) = out.swap_remove(index);
                        if deliveries >= MAX { dead.push(lease.0) } else { back.push((lease.0, deliveries)) }
                        drop(lease);
                    }
                }
                Step::TakeDead => {
                    dead.sort_unstable();
                    let letter = queue.take_dead_letter().unwrap().map(|letter| letter.done().0);
                    prop_assert_eq!(letter, dead.first().copied());
                    if !dead.is_empty() { dead.remove(0); }
                }
                Step::Close => {
                    queue.close().unwrap();
                    closed = true;
                }
            }
            prop_assert_eq!(queue.len(), waits.len() + back.len());
            prop_assert_eq!(queue.is_full(), !closed && waits.len() == capacity);
            prop_assert_eq!((queue.leased(), queue.dead_letters()), (out.len(), dead.len()));
            prop_assert_eq!(queue.unfinished(), waits.len() + back.len() + out.len());
            prop_assert_eq!(queue.is_closed(), closed);
        }
    }
}
