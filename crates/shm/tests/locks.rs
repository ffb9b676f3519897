//! Locks and their relatives between threads of one process, and on their way through messages. What other systems' users
//! rely on is ported from CPython's `_test_multiprocessing.py`; the names of its tests stand in the comments.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use shm::{
    arena::Arena,
    lock::{
        Array, Barrier, BarrierError, Condition, Event, Lock, LockError, RLock, ReleaseError, RwLock, Semaphore, Value,
        WaitError,
    },
    wire::Packet,
};

const SOON: Duration = Duration::from_millis(20);

fn arena() -> Arena {
    Arena::create(256 * 1024).unwrap()
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "not within 10 s: {what}");
        thread::yield_now();
    }
}

/// Runs a future by itself: woken by nothing but what wakes it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park_timeout(Duration::from_secs(10));
        assert!(Instant::now() < end, "nobody woke it");
    }
}

/// Polls once, as a task does that is then dropped.
fn poll_once<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn every_handle_travels_in_any_message_at_any_time() {
    #[derive(serde::Serialize, serde::Deserialize)]
    struct All {
        lock: Lock<[u32; 3]>,
        rlock: RLock,
        rwlock: RwLock<f64>,
        condition: Condition<[u32; 3]>,
        semaphores: Vec<Semaphore>,
        event: Event,
        barrier: Option<Barrier>,
        value: Value<i16>,
        array: Array<u8>,
    }
    let arena = arena();
    let lock = Lock::create(&arena, [1, 2, 3]).unwrap();
    let all = All {
        condition: Condition::create(&lock).unwrap(),
        lock,
        rlock: RLock::create(&arena).unwrap(),
        rwlock: RwLock::create(&arena, 0.5).unwrap(),
        semaphores: (0..20).map(|permits| Semaphore::create_bounded(&arena, permits).unwrap()).collect(),
        event: Event::create(&arena).unwrap(),
        barrier: Some(Barrier::create(&arena, 1).unwrap()),
        value: Value::create(&arena, -5).unwrap(),
        array: Array::create(&arena, 7, 9).unwrap(),
    };
    let packet = Packet::encode(&all).unwrap();
    assert_eq!(packet.descriptors.len(), 1, "one arena, one descriptor");
    let same: All = packet.decode().unwrap();
    let guard = all.lock.lock().unwrap();
    assert!(matches!(same.lock.try_lock(), Err(LockError::Busy)));
    same.condition.notify_all(&guard);
    drop(guard);
    assert_eq!(*same.lock.lock().unwrap(), [1, 2, 3]);
    assert_eq!(*same.rwlock.read().unwrap(), 0.5);
    assert_eq!(same.semaphores[19].available(), 19);
    all.event.set().unwrap();
    same.event.wait().unwrap();
    assert_eq!(same.barrier.unwrap().wait().unwrap(), 0);
    assert_eq!((same.value.get().unwrap(), same.array.get(6).unwrap(), same.array.len()), (-5, 9, 7));
    drop((same.rlock.lock().unwrap(), same.rlock.lock().unwrap()));
    // Another type, or another kind of object, isn't taken for it.
    assert!(Packet::encode(&all.lock).unwrap().decode::<Lock<[u32; 4]>>().is_err());
    assert!(Packet::encode(&all.event).unwrap().decode::<RLock>().is_err());
    assert!(Packet::encode(&all.array).unwrap().decode::<Array<[u8; 4]>>().is_err());
}

#[test]
fn a_lock_keeps_threads_apart() {
    let lock = Lock::create(&arena(), [0u64; 2]).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let mut guard = lock.lock().unwrap();
                    let [one, other] = *guard;
                    assert_eq!(one, other);
                    guard[0] += 1;
                    guard[1] += 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock().unwrap(), [80_000; 2]);
}

/// `_TestLock.test_lock`, with what its `acquire` and `release` are here.
#[test]
fn a_kept_lock_is_released_by_anybody() {
    let lock = Lock::create(&arena(), ()).unwrap();
    lock.lock().unwrap().keep();
    assert!(matches!(lock.try_lock(), Err(LockError::Busy)));
    thread::scope(|scope| scope.spawn(|| lock.release().unwrap()).join().unwrap());
    assert_eq!(lock.release(), Err(ReleaseError::NotLocked));
    let guard = lock.lock().unwrap();
    assert_eq!(lock.release(), Err(ReleaseError::Guarded), "or two would have it");
    drop(guard);
    assert!(!lock.is_locked());
}

#[test]
fn who_panics_holding_it_is_told_of() {
    let lock = Lock::create(&arena(), 1u32).unwrap();
    let theirs = lock.clone();
    let panicked = thread::spawn(move || {
        let mut guard = theirs.lock().unwrap();
        *guard = 2;
        panic!("in the middle (this is meant to be)");
    });
    assert!(panicked.join().is_err());
    for _ in 0..2 {
        let Err(LockError::OwnerDied(guard)) = lock.lock() else { panic!("told, until it is marked") };
        assert_eq!(*guard, 2);
    }
    let Err(LockError::OwnerDied(mut guard)) = lock.try_lock() else { panic!("by every way to take it") };
    guard.mark_consistent();
    assert!(guard.is_consistent());
    drop(guard);
    assert!(lock.lock().is_ok());
}

#[test]
fn limits_are_kept() {
    let lock = Lock::create(&arena(), ()).unwrap();
    let _guard = lock.lock().unwrap();
    for limit in [Duration::ZERO, SOON, Duration::from_millis(120)] {
        let began = Instant::now();
        assert!(matches!(lock.lock_for(limit), Err(LockError::TimedOut)));
        assert!(began.elapsed() >= limit && began.elapsed() < limit + Duration::from_secs(2), "{limit:?}");
    }
}

/// `_TestLock.test_rlock`.
#[test]
fn an_rlock_is_its_threads() {
    let lock = RLock::create(&arena()).unwrap();
    for _ in 0..3 {
        lock.lock().unwrap().keep();
    }
    assert_eq!(lock.held(), 3);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            assert!(matches!(lock.try_lock(), Err(LockError::Busy)));
            assert!(matches!(lock.lock_for(SOON), Err(LockError::TimedOut)));
            assert_eq!((lock.release(), lock.held()), (Err(ReleaseError::NotOwner), 0));
        });
        other.join().unwrap();
    });
    for _ in 0..3 {
        lock.release().unwrap();
    }
    assert_eq!(lock.release(), Err(ReleaseError::NotOwner));
    thread::scope(|scope| assert!(scope.spawn(|| lock.try_lock().is_ok()).join().unwrap()));
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    let lock = RwLock::create(&arena(), [0u64; 2]).unwrap();
    let (one, other) = (lock.read().unwrap(), lock.read_for(SOON).unwrap());
    assert!(matches!(lock.try_write(), Err(LockError::Busy)));
    assert!(matches!(lock.write_for(SOON), Err(LockError::TimedOut)));
    drop(lock.try_read().unwrap());
    drop((one, other));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    let mut guard = lock.write().unwrap();
                    guard[0] += 1;
                    guard[1] += 1;
                }
            });
            scope.spawn(|| {
                for _ in 0..2000 {
                    let guard = lock.read().unwrap();
                    assert_eq!(guard[0], guard[1]);
                }
            });
        }
    });
    assert_eq!(*lock.read().unwrap(), [4000; 2]);
}

#[test]
fn readers_that_come_wait_behind_a_writer() {
    let lock = RwLock::create(&arena(), 0u32).unwrap();
    let reader = lock.read().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| *lock.write().unwrap() = 1);
        wait_until("the writer waits", || matches!(lock.try_read(), Err(LockError::Busy)));
        assert!(matches!(lock.read_for(SOON), Err(LockError::TimedOut)));
        drop(reader);
        writer.join().unwrap();
    });
    assert_eq!(*lock.read().unwrap(), 1);
}

/// `_TestSemaphore.test_semaphore`, `test_bounded_semaphore`, `test_timeout`.
#[test]
fn a_semaphore_counts() {
    let arena = arena();
    let semaphore = Semaphore::create(&arena, 2).unwrap();
    assert_eq!(semaphore.available(), 2);
    semaphore.acquire().unwrap().keep();
    let permit = semaphore.acquire().unwrap();
    assert!(semaphore.try_acquire().unwrap().is_none());
    let began = Instant::now();
    assert!(matches!(semaphore.acquire_for(SOON), Err(WaitError::TimedOut)));
    assert!(began.elapsed() >= SOON);
    drop(permit);
    semaphore.release().unwrap();
    assert_eq!(semaphore.available(), 2);
    semaphore.release().unwrap();
    assert_eq!((semaphore.available(), semaphore.is_bounded()), (3, false), "unbounded, it grows");
    semaphore.acquire().unwrap().spend();
    assert_eq!(semaphore.available(), 2);
    let bounded = Semaphore::create_bounded(&arena, 2).unwrap();
    assert_eq!(bounded.release(), Err(ReleaseError::TooMany(2)));
    bounded.acquire().unwrap().keep();
    bounded.release().unwrap();
    assert_eq!((bounded.release(), bounded.is_bounded()), (Err(ReleaseError::TooMany(2)), true));
}

#[test]
fn permits_limit_how_many_are_at_work() {
    let semaphore = Semaphore::create_bounded(&arena(), 3).unwrap();
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let _permit = semaphore.acquire().unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
    assert_eq!(semaphore.available(), 3);
}

/// `_TestCondition.test_notify_n`: exactly as many as were notified go on, the longest waiting first.
#[test]
fn a_condition_notifies_as_many_as_it_says() {
    let lock = Lock::create(&arena(), ()).unwrap();
    let condition = Condition::create(&lock).unwrap();
    let (waiting, woken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let guard = lock.lock().unwrap();
                waiting.fetch_add(1, Ordering::SeqCst);
                drop(condition.wait(guard).unwrap());
                woken.fetch_add(1, Ordering::SeqCst);
            });
        }
        // Whoever has counted itself holds the lock until it is on the list.
        wait_until("all wait", || waiting.load(Ordering::SeqCst) == 6);
        for (count, sum) in [(1, 1), (0, 1), (2, 3)] {
            assert_eq!(condition.notify(&lock.lock().unwrap(), count), count);
            wait_until("those go on", || woken.load(Ordering::SeqCst) == sum);
            thread::sleep(SOON); // sleep: nobody else may go on, which nothing announces
            assert_eq!(woken.load(Ordering::SeqCst), sum);
        }
        assert_eq!(condition.notify(&lock.lock().unwrap(), 100), 3);
    });
    assert_eq!(condition.notify(&lock.lock().unwrap(), 1), 0, "nobody is left");
}

/// `_TestCondition.test_timeout`, `test_waitfor_timeout`.
#[test]
fn a_wait_for_a_condition_ends_with_its_limit() {
    let lock = Lock::create(&arena(), 0u32).unwrap();
    let condition = Condition::create(&lock).unwrap();
    let mut guard = lock.lock().unwrap();
    let end = Instant::now() + Duration::from_millis(100);
    let mut looks = 0;
    while *guard == 0 && Instant::now() < end {
        let notified;
        (guard, notified) = condition.wait_for(guard, end.saturating_duration_since(Instant::now())).unwrap();
        assert!(!notified);
        looks += 1;
    }
    assert!(Instant::now() >= end && looks <= 2);
    assert_eq!(condition.notify(&guard, 1), 0, "who gave up isn't on the list");
}

#[test]
#[should_panic(expected = "a guard of another lock")]
fn a_condition_is_for_one_lock() {
    let arena = arena();
    let (one, other) = (Lock::create(&arena, ()).unwrap(), Lock::create(&arena, ()).unwrap());
    Condition::create(&one).unwrap().notify_one(&other.lock().unwrap());
}

/// `_TestEvent.test_event`.
#[test]
fn an_event_is_set_and_cleared() {
    let event = Event::create(&arena()).unwrap();
    assert!(!event.is_set());
    assert!(matches!(event.wait_for(Duration::ZERO), Err(WaitError::TimedOut)));
    event.set().unwrap();
    event.set().unwrap();
    assert!(event.is_set());
    event.wait().unwrap();
    event.wait_for(Duration::ZERO).unwrap();
    event.clear().unwrap();
    event.clear().unwrap();
    assert!(matches!(event.wait_for(SOON), Err(WaitError::TimedOut)));
}

#[test]
fn no_short_event_is_missed_by_who_waits() {
    let arena = arena();
    let (event, turn) = (Event::create(&arena).unwrap(), AtomicU32::new(0));
    let waits = Event::create(&arena).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..10_000 {
                // It says so before it waits: from `wait` on nothing may be missed, and before it the event stays set.
                turn.store(round + 1, Ordering::SeqCst);
                waits.set().unwrap();
                event.wait_for(Duration::from_secs(5)).unwrap();
                event.clear().unwrap();
            }
        });
        for round in 0..10_000 {
            waits.wait_for(Duration::from_secs(5)).unwrap();
            waits.clear().unwrap();
            wait_until("its turn", || turn.load(Ordering::SeqCst) == round + 1);
            event.set().unwrap();
        }
    });
}

/// `_TestBarrier.test_barrier_10`, `test_thousand`.
#[test]
fn a_barrier_is_passed_by_all_again_and_again() {
    const PARTIES: usize = 4;
    let barrier = Barrier::create(&arena(), PARTIES as u32).unwrap();
    let (before, sum) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..PARTIES {
            scope.spawn(|| {
                for round in 1..=1000 {
                    before.fetch_add(1, Ordering::SeqCst);
                    sum.fetch_add(barrier.wait_for(Duration::from_secs(10)).unwrap(), Ordering::SeqCst);
                    assert!(before.load(Ordering::SeqCst) >= round * PARTIES, "nobody passes before all have come");
                }
            });
        }
    });
    assert_eq!(sum.load(Ordering::SeqCst), 1000 * (1 + 2 + 3), "each number once a round");
}

/// `_TestBarrier.test_abort`, `test_reset`, `test_abort_and_reset`, `test_timeout`, `test_single_thread`.
#[test]
fn a_barrier_breaks_for_all() {
    let arena = arena();
    let barrier = Barrier::create(&arena, 3).unwrap();
    let broken = |barrier: &Barrier, end: &dyn Fn()| {
        thread::scope(|scope| {
            let waiter = scope.spawn(|| barrier.wait());
            wait_until("it waits", || barrier.waiting() == 1);
            end();
            assert!(matches!(waiter.join().unwrap(), Err(BarrierError::Broken)));
        });
    };
    broken(&barrier, &|| barrier.abort().unwrap());
    assert!(barrier.is_broken() && matches!(barrier.wait(), Err(BarrierError::Broken)));
    barrier.reset().unwrap();
    broken(&barrier, &|| barrier.reset().unwrap());
    assert!(!barrier.is_broken());
    broken(&barrier, &|| assert!(matches!(barrier.wait_for(SOON), Err(BarrierError::TimedOut))));
    barrier.reset().unwrap();
    assert_eq!(barrier.waiting(), 0);
    let alone = Barrier::create(&arena, 1).unwrap();
    assert_eq!((alone.wait().unwrap(), alone.wait().unwrap()), (0, 0));
}

/// `_TestValue`, `_TestArray`.
#[test]
fn values_and_arrays_hold_what_they_are_given() {
    let arena = arena();
    let value = Value::create(&arena, 2.4f64).unwrap();
    value.set(1e10).unwrap();
    assert_eq!(value.get().unwrap(), 1e10);
    let array = Array::create(&arena, 10, 0i64).unwrap();
    for index in 0..array.len() {
        array.set(index, index as i64 * 10).unwrap();
    }
    array.lock().unwrap()[4..8].copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(*array.lock().unwrap(), [0, 10, 20, 30, 1, 2, 3, 4, 80, 90]);
    assert!(Array::create(&arena, 0, 0u8).unwrap().is_empty());
}

#[test]
fn futures_are_woken_by_threads_and_wake_them() {
    let arena = arena();
    let (lock, event) = (Lock::create(&arena, 0u32).unwrap(), Event::create(&arena).unwrap());
    let (semaphore, condition) = (Semaphore::create(&arena, 0).unwrap(), Condition::create(&lock).unwrap());
    let guard = lock.lock().unwrap();
    thread::scope(|scope| {
        let locks = scope.spawn(|| block_on(async { *lock.lock_async().await.unwrap() += 1 }));
        let waits = scope.spawn(|| block_on(event.wait_async()).unwrap());
        let acquires = scope.spawn(|| block_on(semaphore.acquire_async()).unwrap().spend());
        thread::sleep(SOON); // sleep: most likely they wait by now; it is right in any case
        drop(guard);
        event.set().unwrap();
        semaphore.release().unwrap();
        for task in [locks, waits, acquires] {
            task.join().unwrap();
        }
        let changes = scope.spawn(|| {
            block_on(async {
                let mut guard = lock.lock_async().await.unwrap();
                while *guard < 2 {
                    guard = condition.wait_async(guard).await.unwrap();
                }
            });
        });
        thread::sleep(SOON); // sleep: as above
        let mut guard = block_on(lock.lock_async()).unwrap();
        *guard = 2;
        condition.notify_one(&guard);
        drop(guard);
        changes.join().unwrap();
    });
}

#[test]
fn an_async_limit_is_kept() {
    let lock = Lock::create(&arena(), ()).unwrap();
    let _guard = lock.lock().unwrap();
    let began = Instant::now();
    assert!(matches!(block_on(lock.lock_async_for(Duration::from_millis(60))), Err(LockError::TimedOut)));
    assert!(began.elapsed() >= Duration::from_millis(60));
}

/// Many more than one call of the kernel's can watch.
#[test]
fn hundreds_of_futures_wait_at_once() {
    let arena = Arena::create(1 << 20).unwrap();
    let events: Vec<Event> = (0..400).map(|_| Event::create(&arena).unwrap()).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = events
        .iter()
        .map(|event| {
            let (event, done) = (event.clone(), done.clone());
            runtime.spawn(async move {
                event.wait_async().await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    events.iter().rev().for_each(|event| event.set().unwrap());
    wait_until("all are done", || done.load(Ordering::SeqCst) == 400);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn tasks_and_threads_share_a_lock() {
    for runtime in [
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap(),
        tokio::runtime::Builder::new_current_thread().build().unwrap(),
    ] {
        let lock = Lock::create(&arena(), [0u32; 2]).unwrap();
        let theirs = lock.clone();
        let other = thread::spawn(move || {
            for _ in 0..2000 {
                let mut guard = theirs.lock().unwrap();
                guard[0] += 1;
                guard[1] += 1;
            }
        });
        runtime.block_on(async {
            let tasks: Vec<_> = (0..4)
                .map(|_| {
                    let lock = lock.clone();
                    tokio::spawn(async move {
                        for _ in 0..200 {
                            let mut guard = lock.lock_async().await.unwrap();
                            guard[0] += 1;
                            tokio::task::yield_now().await; // held across an await: others come and must wait
                            guard[1] += 1;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        other.join().unwrap();
        assert_eq!(*lock.lock().unwrap(), [2800; 2]);
    }
}

#[test]
fn a_dropped_future_takes_nothing_with_it() {
    let arena = arena();
    let (lock, semaphore) = (Lock::create(&arena, 0u32).unwrap(), Semaphore::create(&arena, 1).unwrap());
    let condition = Condition::create(&lock).unwrap();
    for _ in 0..50 {
        let guard = lock.lock().unwrap();
        let permit = semaphore.acquire().unwrap();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| drop((lock.lock().unwrap(), semaphore.acquire().unwrap())));
            {
                let (mut locks, mut acquires) = (pin!(lock.lock_async()), pin!(semaphore.acquire_async()));
                assert!(poll_once(&mut locks).is_pending() && poll_once(&mut acquires).is_pending());
                drop((guard, permit)); // the wake-ups may go to the futures, which end here
            }
            waiter.join().unwrap();
        });
        assert_eq!((lock.is_locked(), semaphore.available()), (false, 1));
    }
    // A notification that the future had got already goes to the next.
    let waiting = AtomicU32::new(0);
    thread::scope(|scope| {
        let guard = lock.lock().unwrap();
        let mut dropped = Box::pin(condition.wait_async(guard));
        assert!(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let waiter = scope.spawn(|| {
            let guard = lock.lock().unwrap();
            waiting.store(1, Ordering::SeqCst);
            condition.wait_for(guard, Duration::from_secs(5)).unwrap().1
        });
        wait_until("it waits", || waiting.load(Ordering::SeqCst) == 1);
        assert_eq!(condition.notify(&lock.lock().unwrap(), 1), 1, "the future, which has waited longer");
        drop(dropped);
        assert!(waiter.join().unwrap(), "it was handed on");
    });
}

#[test]
fn a_full_condition_says_so() {
    let lock = Lock::create(&arena(), ()).unwrap();
    let condition = Condition::create(&lock).unwrap();
    let mut waits = Vec::new();
    for _ in 0..256 {
        let mut wait = Box::pin(condition.wait_async(lock.lock().unwrap()));
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waits.push(wait);
    }
    assert!(matches!(condition.wait(lock.lock().unwrap()), Err(LockError::Crowded(256))));
    waits.pop();
    let (guard, notified) = condition.wait_for(lock.lock().unwrap(), SOON).unwrap();
    assert!(!notified);
    assert_eq!(condition.notify(&guard, 1000), 255);
}
