//! Members that die at any point: an item is there whole or not at all, and is got by another one.

use super::*;

#[test]
fn loom_a_producer_that_dies_anywhere_puts_all_or_nothing() {
    with_each_death(2, 6, |points| {
        let memory = Memory::new(2, 2);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        let producing = thread::spawn(move || dying.member.live(points, || assert!(dying.try_put(1))));
        // One that is surely put comes first or second; the getter may sleep when the other one dies.
        other.put(2).unwrap();
        let first = other.get().unwrap();
        let survived = producing.join().unwrap();
        let mut got = other.drain();
        got.insert(0, first);
        got.sort();
        assert!(got == [1, 2] || (got == [2] && !survived), "{got:?}");
        other.assert_empty();
        survived
    });
}

#[test]
fn loom_what_a_dead_producer_put_is_got_by_who_sleeps() {
    with_each_death(2, 6, |points| {
        let memory = Memory::new(2, 2);
        let [dying, getter, other] = [0, 1, 2].map(|slot| Memory::twin(&memory, slot));
        let getting = thread::spawn(move || getter.get().unwrap());
        let survived = dying.member.live(points, || assert!(dying.try_put(1)));
        if !survived && other.is_put_nowhere() {
            other.put(2).unwrap();
        }
        getting.join().unwrap();
        survived
    });
}

#[test]
fn loom_what_a_dead_consumer_had_another_one_gets() {
    with_each_death(2, 3, |points| {
        let memory = Memory::new(2, 2);
        let (dying, other) = (Memory::twin(&memory, 0), Memory::twin(&memory, 1));
        assert!(other.try_put(1) && other.try_put(2));
        let consuming = thread::spawn(move || {
            let settled = Cell::new(None);
            let survived = dying.member.live(points, || {
                let taken = dying.lease().unwrap();
                settled.set(Some(dying.read(taken.cell)));
                cells::settle(&dying, taken.cell);
            });
            (survived, settled.get())
        });
        // At most one of the two is the other's for good: this never waits in vain, whenever that one dies.
        let first = other.get().unwrap();
        let (survived, settled) = consuming.join().unwrap();
        let mut got = other.drain();
        got.push(first);
        got.extend(settled.filter(|_| got.len() == 1));
        got.sort();
        assert_eq!(got, [1, 2], "lost, or twice");
        other.assert_empty();
        survived
    });
}

#[test]
fn loom_a_sweep_may_die_too() {
    with_each_death(1, 3, |points| {
        let memory = Memory::new(2, 3);
        let [dead, sweeper, other] = [0, 1, 2].map(|slot| Memory::twin(&memory, slot));
        assert!(other.try_put(1));
        dead.lease().unwrap();
        assert!(cells::claim(&dead).is_some());
        assert!(!dead.member.live(0, crate::crash::point));
        let sweeping = thread::spawn(move || sweeper.member.live(points, || members::sweep(&sweeper)));
        members::sweep(&other);
        let survived = sweeping.join().unwrap();
        assert_eq!(other.drain(), [1]);
        other.assert_empty();
        survived
    });
}
