//! Members that live: what is put is got, who sleeps is woken, nothing comes behind the end.

use super::*;

#[test]
fn loom_what_is_put_is_got_whole_and_in_order() {
    explore(2, || {
        let memory = Memory::new(2, 2);
        let (producer, consumer) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let producing = thread::spawn(move || {
            assert!(producer.try_put(1));
            producer.try_put(2)
        });
        let mut got: Vec<u64> = (0..2).filter_map(|_| consumer.try_get()).collect();
        assert!(producing.join().unwrap());
        got.extend(consumer.drain());
        assert_eq!(got, [1, 2]);
        consumer.assert_empty();
    });
}

#[test]
fn loom_two_consumers_never_get_the_same() {
    explore(2, || {
        let memory = Memory::new(2, 2);
        let (one, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(one.try_put(1) && one.try_put(2));
        let getting = thread::spawn(move || other.try_get());
        let mut got = vec![one.try_get(), getting.join().unwrap()];
        got.sort();
        assert_eq!(got, [Some(1), Some(2)]);
        one.assert_empty();
    });
}

#[test]
fn loom_two_producers_lose_nothing() {
    explore(2, || {
        let memory = Memory::new(2, 3);
        let (one, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let putting = thread::spawn(move || other.try_put(2));
        assert!(one.try_put(1));
        assert!(putting.join().unwrap());
        let mut got = one.drain();
        got.sort();
        assert_eq!(got, [1, 2]);
        one.assert_empty();
    });
}

#[test]
fn loom_who_sleeps_for_an_item_or_for_room_is_woken() {
    explore(2, || {
        let memory = Memory::new(1, 1);
        let (producer, consumer) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let producing = thread::spawn(move || (1..=3).for_each(|value| producer.put(value).unwrap()));
        for value in 1..=3 {
            assert_eq!(consumer.get(), Ok(value));
        }
        producing.join().unwrap();
        consumer.assert_empty();
    });
}

#[test]
fn loom_two_who_sleep_are_both_woken_by_two() {
    explore(2, || {
        let memory = Memory::new(2, 3);
        let [one, other, third] = [0, 1, 2].map(|slot| Memory::twin(&memory, slot));
        let getting = [one, other].map(|twin| thread::spawn(move || twin.get().unwrap()));
        assert!(third.try_put(1) && third.try_put(2));
        let got: u64 = getting.into_iter().map(|getting| getting.join().unwrap()).sum();
        assert_eq!(got, 3);
    });
}

/// Two who ring at once, over a bell and a count alone: with a whole queue behind it this takes minutes.
#[test]
fn loom_two_rings_wake_two_sleepers() {
    explore(1, || {
        let memory = Memory::new(1, 1);
        let count = Arc::new(AtomicU32::new(0));
        let getting = [0, 1].map(|slot| {
            let (twin, count) = (Memory::twin(&memory, slot), count.clone());
            thread::spawn(move || {
                let less = |count: u32| count.checked_sub(1);
                let attempt =
                    || count.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).map_err(|_| twin.items());
                wait::until(&twin, Limit::Never, attempt, || {}).unwrap();
            })
        });
        let ring = |memory: &Memory, count: &AtomicU32| {
            count.fetch_add(1, Ordering::AcqRel);
            wait::ring(memory.bell(0), false);
        };
        let (their_memory, their_count) = (memory.clone(), count.clone());
        let ringing = thread::spawn(move || ring(&their_memory, &their_count));
        ring(&memory, &count);
        ringing.join().unwrap();
        getting.into_iter().for_each(|getting| getting.join().unwrap());
    });
}

#[test]
fn loom_a_lease_taken_makes_room() {
    explore(2, || {
        let memory = Memory::new(1, 2);
        let (producer, consumer) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(producer.try_put(1));
        let producing = thread::spawn(move || producer.put(2).unwrap());
        let taken = consumer.lease().unwrap();
        producing.join().unwrap();
        assert_eq!(consumer.read(taken.cell), 1);
        cells::settle(&consumer, taken.cell);
        assert_eq!(consumer.drain(), [2]);
    });
}

#[test]
fn loom_what_is_given_back_wakes_who_sleeps() {
    explore(2, || {
        let memory = Memory::new(1, 1);
        let (one, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(one.try_put(7));
        let taken = one.lease().unwrap();
        let getting = thread::spawn(move || other.lease().map(|taken| (other.read(taken.cell), taken.deliveries)));
        cells::give_back(&one, taken);
        assert_eq!(getting.join().unwrap(), Ok((7, 2)));
    });
}

#[test]
fn loom_who_joins_is_woken_by_the_last_acknowledgement() {
    explore(2, || {
        let memory = Memory::new(2, 2);
        let (one, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(one.try_put(1) && one.try_put(2));
        let getting = thread::spawn(move || [other.get().unwrap(), other.get().unwrap()]);
        let (_, end) = ring::span(&one);
        let cell = Cell::new(0);
        let attempt = || {
            while cell.get() < 2 {
                if cells::is_unfinished(&one, cell.get(), end) {
                    return Err(one.settled());
                }
                cell.set(cell.get() + 1);
            }
            Ok(())
        };
        wait::until(&one, Limit::Never, attempt, || members::sweep(&one)).unwrap();
        one.assert_empty();
        assert_eq!(getting.join().unwrap(), [1, 2]);
    });
}

#[test]
fn loom_nothing_is_put_behind_the_end_and_nothing_before_it_is_lost() {
    explore(2, || {
        let memory = Memory::new(2, 2);
        let [producer, closer, consumer] = [0, 1, 2].map(|slot| Memory::twin(&memory, slot));
        let producing = thread::spawn(move || producer.put(1));
        let consuming = thread::spawn(move || (consumer.get(), consumer.get()));
        attempt::close(&closer);
        let put = producing.join().unwrap();
        let got = consuming.join().unwrap();
        assert_eq!(got, if put.is_ok() { (Ok(1), Err(End)) } else { (Err(End), Err(End)) });
        assert!(ring::is_closed(&closer));
    });
}
