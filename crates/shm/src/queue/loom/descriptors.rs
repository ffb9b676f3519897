//! Items whose descriptors are in a slot: one item has it at a time, whoever dies.

use super::*;

#[test]
fn loom_a_slot_goes_from_one_item_to_the_next() {
    explore(2, || {
        let memory = Memory::with_slots(2, 3, 1);
        let (producer, consumer) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let producing = thread::spawn(move || [1, 2].map(|value| producer.put_with(value)));
        assert_eq!([consumer.get_with(), consumer.get_with()], [1, 2]);
        producing.join().unwrap();
        consumer.assert_empty();
    });
}

#[test]
fn loom_two_producers_never_share_a_slot() {
    explore(2, || {
        let memory = Memory::with_slots(2, 3, 2);
        let (one, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let putting = thread::spawn(move || other.put_with(2));
        one.put_with(1);
        putting.join().unwrap();
        let mut got = [one.get_with(), one.get_with()];
        got.sort();
        assert_eq!(got, [1, 2]);
        one.assert_empty();
    });
}

#[test]
fn loom_a_producer_that_dies_anywhere_leaves_its_slot_to_others() {
    with_each_death(2, 8, |points| {
        let memory = Memory::with_slots(2, 3, 1);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let producing = thread::spawn(move || dying.member.live(points, || dying.put_with(1)));
        members::sweep(&other);
        let survived = producing.join().unwrap();
        members::sweep(&other);
        let (head, tail) = ring::span(&other);
        if head != tail {
            assert_eq!(other.get_with(), 1);
        }
        assert!(head != tail || !survived, "lost");
        other.put_with(2);
        assert_eq!(other.get_with(), 2);
        other.assert_empty();
        survived
    });
}

#[test]
fn loom_what_a_dead_consumer_had_comes_with_its_descriptors_again() {
    with_each_death(2, 5, |points| {
        let memory = Memory::with_slots(2, 3, 1);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        other.put_with(1);
        let consuming = thread::spawn(move || dying.member.live(points, || assert_eq!(dying.get_with(), 1)));
        // It waits for the slot.
        let again = if other.attempt_put(2, true).is_err() {
            let survived = consuming.join().unwrap();
            other.drain_with(survived)
        } else {
            let survived = consuming.join().unwrap();
            assert_eq!(other.get_with(), 2);
            survived
        };
        other.assert_empty();
        again
    });
}

// The controls: each breaks one thing.
