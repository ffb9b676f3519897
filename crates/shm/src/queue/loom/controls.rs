//! Protocols that are broken on purpose: that the models above can fail.

use super::*;

/// If a slot is free before it is empty, the next one's message is thrown away, or there are two.
#[test]
#[should_panic]
fn loom_control_a_slot_that_is_freed_before_it_is_emptied() {
    explore(2, || {
        let memory = Memory::with_slots(2, 3, 1);
        let (producer, consumer) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        producer.put_with(1);
        let producing = thread::spawn(move || producer.put_with(2));
        let taken = consumer.lease().unwrap();
        consumer.slot_of(0).store(0, Ordering::Release);
        consumer.empty(0);
        consumer.slot(taken.cell).store(0, Ordering::Relaxed);
        cells::settle(&consumer, taken.cell);
        producing.join().unwrap();
        assert_eq!(consumer.get_with(), 2);
    });
}

/// Without a look at every slot, one that a dead producer had just taken is lost.
#[test]
#[should_panic(expected = "is lost")]
fn loom_control_a_sweep_that_asks_the_cell_for_its_slot_loses_it() {
    with_each_death(1, 8, |points| {
        let memory = Memory::with_slots(2, 3, 1);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let survived = dying.member.live(points, || dying.put_with(1));
        let state = other.state(0);
        if !survived && matches!(State::of(state.load(Ordering::Acquire)), Some(State::Filling(_))) {
            slots::free(&other, 0);
            state.store(State::Free.word(), Ordering::Release);
        }
        other.drain();
        other.assert_empty();
        survived
    });
}

/// Without the compare-and-swap of the cell's state two consumers get the same item.
#[test]
#[should_panic]
fn loom_control_without_the_swap_of_the_state_an_item_is_got_twice() {
    explore(2, || {
        let memory = Memory::new(2, 2);
        let (one, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(one.try_put(1) && one.try_put(2));
        fn take(twin: &Twin) -> u64 {
            let head = twin.head().load(Ordering::Acquire);
            let cell = twin.entry(head as u32 & 3).load(Ordering::Acquire) as u32 & 0xff_ffff;
            let by = twin.members().me();
            twin.state(cell).store(State::Leased { by, deliveries: 1 }.word(), Ordering::Release);
            let _ = twin.head().compare_exchange(head, head + 1, Ordering::AcqRel, Ordering::Relaxed);
            twin.read(cell)
        }
        let taking = thread::spawn(move || take(&other));
        assert_ne!(take(&one), taking.join().unwrap(), "the same item");
    });
}

/// Without the last look after marking, an item that was put before is slept over.
#[test]
fn loom_control_without_the_last_look_a_sleeper_sleeps_on() {
    must_deadlock(module_path!(), "loom_control_without_the_last_look_a_sleeper_sleeps_on", || {
        let memory = Memory::new(1, 1);
        let (producer, consumer) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let producing = thread::spawn(move || assert!(producer.try_put(1)));
        while consumer.try_get().is_none() {
            let bell = consumer.items();
            let rings = bell.rings.load(Ordering::Acquire);
            bell.sleepers.fetch_max(rings + 1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            consumer.members().wait_a_while(bell.rings, rings, None);
        }
        producing.join().unwrap();
    });
}

/// With a flag that the waker takes away before it rings, and sets again if it has woken somebody, one of two sleeps on.
#[test]
fn loom_control_with_a_flag_for_a_mark_one_of_two_sleeps_on() {
    struct Flagged {
        rings: AtomicU32,
        flag: AtomicU32,
        items: AtomicU32,
    }
    impl Flagged {
        fn put(&self) {
            self.items.fetch_add(1, Ordering::AcqRel);
            fence(Ordering::SeqCst);
            if self.flag.load(Ordering::Relaxed) != 0 && self.flag.swap(0, Ordering::AcqRel) != 0 {
                self.rings.fetch_add(1, Ordering::AcqRel);
                if futex::wake(&self.rings, 1) > 0 {
                    self.flag.store(1, Ordering::Release);
                }
            }
        }
        fn take(&self) -> bool {
            self.items.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1)).is_ok()
        }
        fn get(&self) {
            while !self.take() {
                let seen = self.rings.load(Ordering::Acquire);
                self.flag.store(1, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if self.take() {
                    return;
                }
                futex::wait(&[(&self.rings, seen)], None);
            }
        }
    }
    must_deadlock(module_path!(), "loom_control_with_a_flag_for_a_mark_one_of_two_sleeps_on", || {
        let flagged = Flagged { rings: AtomicU32::new(0), flag: AtomicU32::new(0), items: AtomicU32::new(0) };
        let flagged = Arc::new(flagged);
        let getting = [flagged.clone(), flagged.clone()].map(|flagged| thread::spawn(move || flagged.get()));
        let putting = thread::spawn({
            let flagged = flagged.clone();
            move || flagged.put()
        });
        flagged.put();
        putting.join().unwrap();
        getting.into_iter().for_each(|getting| getting.join().unwrap());
    });
}

/// Without the sweep, what a dead consumer had is gone.
#[test]
#[should_panic(expected = "lost, or twice")]
fn loom_control_without_the_sweep_an_item_is_lost() {
    with_each_death(2, 3, |points| {
        let memory = Memory::new(2, 2);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(other.try_put(1));
        let survived = dying.member.live(points, || {
            let taken = dying.lease().unwrap();
            cells::settle(&dying, taken.cell);
        });
        assert!(survived || other.try_get() == Some(1), "lost, or twice");
        survived
    });
}

/// Without a look at whether a dead producer's item got into the ring, it is thrown away.
#[test]
#[should_panic(expected = "thrown away")]
fn loom_control_a_sweep_that_does_not_look_into_the_ring_throws_items_away() {
    with_each_death(1, 3, |points| {
        let memory = Memory::new(2, 2);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let survived = dying.member.live(points, || assert!(dying.try_put(1)));
        let (head, tail) = ring::span(&other);
        for cell in 0..2 {
            let state = State::of(other.state(cell).load(Ordering::Acquire));
            if !survived && matches!(state, Some(State::Filled { .. })) {
                other.state(cell).store(State::Free.word(), Ordering::Release);
            }
        }
        assert_eq!(other.drain().len() as u64, tail - head, "thrown away");
        survived
    });
}

/// If the end is a flag beside the ring, something is put behind it.
#[test]
#[should_panic(expected = "behind the end")]
fn loom_control_with_the_end_beside_the_ring_an_item_comes_behind_it() {
    explore(2, || {
        let memory = Memory::new(2, 2);
        let (producer, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let end = Arc::new(AtomicU32::new(0));
        let ended = end.clone();
        let producing = thread::spawn(move || ended.load(Ordering::SeqCst) == 0 && producer.try_put(1));
        end.store(1, Ordering::SeqCst);
        let got = other.try_get(); // nothing, and it is closed: so it is told
        let put = producing.join().unwrap();
        assert_eq!(got.is_some(), put, "behind the end");
    });
}
