//! The protocol under every interleaving that the memory model allows, with a death at each of its points, and controls that
//! must fail.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{cell::Cell, convert::Infallible};

use loom::{cell::UnsafeCell, sync::Arc, thread};

use super::{
    attempt::{self, End, Needs, NotPut},
    cells::{self, Taken},
    members, ring, slots,
    state::State,
    wait::{self, Limit},
    words::{Bell, Shape, Words},
};
use crate::{
    arena::Members,
    futex,
    lock::loom::{Member, World, explore, must_deadlock},
    sync::{AtomicU32, AtomicU64, Ordering, fence},
};

const CELLS: usize = 3;
const RING: usize = 4;
const MEMBERS: usize = 3;
const SLOTS: usize = 2;

/// The shared memory of a small queue whose items are numbers, and of whom some have the same number once more in a slot's socket.
struct Memory {
    shape: Shape,
    head: AtomicU64,
    tail: AtomicU64,
    ring: [AtomicU64; RING],
    states: [AtomicU64; CELLS],
    tickets: [AtomicU64; CELLS],
    contents: [UnsafeCell<u64>; CELLS],
    none: AtomicU32,
    cell_slots: [AtomicU32; CELLS],
    slots: [(AtomicU32, AtomicU32); SLOTS],
    sockets: [UnsafeCell<Vec<u64>>; SLOTS],
    cursor: AtomicU32,
    bells: [(AtomicU32, AtomicU32); 3],
    returns: AtomicU32,
    returns_seen: AtomicU32,
    members: [AtomicU32; MEMBERS],
    members_used: AtomicU32,
    world: Arc<World>,
}

/// The same, as one process sees it.
struct Twin {
    memory: Arc<Memory>,
    member: Member,
}

impl Memory {
    fn new(capacity: u32, cells: u32) -> Arc<Self> {
        Self::with_slots(capacity, cells, 0)
    }

    fn with_slots(capacity: u32, cells: u32, slots: u32) -> Arc<Self> {
        let ring = (capacity + 1).next_power_of_two();
        let shape = Shape {
            capacity,
            ring,
            cells,
            blocks: 0,
            slots,
            max_deliveries: 0,
            dead_letters: 0,
            members: MEMBERS as u32,
        };
        Arc::new(Self {
            shape,
            head: AtomicU64::new(ring.into()),
            tail: AtomicU64::new(ring.into()),
            ring: std::array::from_fn(|_| AtomicU64::new(0)),
            states: std::array::from_fn(|_| AtomicU64::new(0)),
            tickets: std::array::from_fn(|_| AtomicU64::new(0)),
            contents: std::array::from_fn(|_| UnsafeCell::new(0)),
            none: AtomicU32::new(0),
            cell_slots: std::array::from_fn(|_| AtomicU32::new(0)),
            slots: std::array::from_fn(|_| (AtomicU32::new(0), AtomicU32::new(0))),
            sockets: std::array::from_fn(|_| UnsafeCell::new(Vec::new())),
            cursor: AtomicU32::new(0),
            bells: std::array::from_fn(|_| (AtomicU32::new(0), AtomicU32::new(0))),
            returns: AtomicU32::new(0),
            returns_seen: AtomicU32::new(0),
            members: std::array::from_fn(|_| AtomicU32::new(0)),
            members_used: AtomicU32::new(0),
            world: World::new(),
        })
    }

    /// A process joins.
    fn twin(memory: &Arc<Self>, slot: u16) -> Twin {
        let twin = Twin { memory: memory.clone(), member: Member::new(&memory.world, slot) };
        assert!(members::enter(&twin));
        twin
    }

    fn bell(&self, index: usize) -> Bell<'_> {
        Bell { rings: &self.bells[index].0, sleepers: &self.bells[index].1 }
    }
}

impl Words for Twin {
    type Members = Member;

    fn members(&self) -> &Member {
        &self.member
    }
    fn shape(&self) -> Shape {
        self.memory.shape
    }
    fn head(&self) -> &AtomicU64 {
        &self.memory.head
    }
    fn tail(&self) -> &AtomicU64 {
        &self.memory.tail
    }
    fn entry(&self, index: u32) -> &AtomicU64 {
        &self.memory.ring[index as usize]
    }
    fn state(&self, cell: u32) -> &AtomicU64 {
        &self.memory.states[cell as usize]
    }
    fn ticket(&self, cell: u32) -> &AtomicU64 {
        &self.memory.tickets[cell as usize]
    }
    fn first_block(&self, _cell: u32) -> &AtomicU32 {
        &self.memory.none
    }
    fn block_of(&self, _block: u32) -> &AtomicU32 {
        unreachable!("there are no blocks")
    }
    fn next_block(&self, _block: u32) -> &AtomicU32 {
        unreachable!("there are no blocks")
    }
    fn slot(&self, cell: u32) -> &AtomicU32 {
        &self.memory.cell_slots[cell as usize]
    }
    fn slot_of(&self, slot: u32) -> &AtomicU32 {
        &self.memory.slots[slot as usize].0
    }
    fn slot_uses(&self, slot: u32) -> &AtomicU32 {
        &self.memory.slots[slot as usize].1
    }
    fn empty(&self, slot: u32) {
        self.socket(slot, Vec::clear);
    }
    fn cell_cursor(&self) -> &AtomicU32 {
        &self.memory.cursor
    }
    fn block_cursor(&self) -> &AtomicU32 {
        unreachable!("there are no blocks")
    }
    fn items(&self) -> Bell<'_> {
        self.memory.bell(0)
    }
    fn room(&self) -> Bell<'_> {
        self.memory.bell(1)
    }
    fn blocks(&self) -> Bell<'_> {
        self.memory.bell(1)
    }
    fn settled(&self) -> Bell<'_> {
        self.memory.bell(2)
    }
    fn returns(&self) -> &AtomicU32 {
        &self.memory.returns
    }
    fn returns_seen(&self) -> &AtomicU32 {
        &self.memory.returns_seen
    }
    fn member(&self, index: u32) -> &AtomicU32 {
        &self.memory.members[index as usize]
    }
    fn members_used(&self) -> &AtomicU32 {
        &self.memory.members_used
    }
}

impl Twin {
    fn write(&self, cell: u32, value: u64) {
        // SAFETY: loom itself checks that nothing overlaps this; that is what these tests are for.
        self.memory.contents[cell as usize].with_mut(|content| unsafe { *content = value });
    }

    fn read(&self, cell: u32) -> u64 {
        // SAFETY: as in `write`.
        self.memory.contents[cell as usize].with(|content| unsafe { *content })
    }

    /// Loom checks here, too, that nothing overlaps: a slot is one process's.
    fn socket<R>(&self, slot: u32, with: impl FnOnce(&mut Vec<u64>) -> R) -> R {
        // SAFETY: as in `write`.
        self.memory.sockets[slot as usize].with_mut(|socket| with(unsafe { &mut *socket }))
    }

    fn attempt_put(&self, value: u64, slot: bool) -> Result<Result<(), NotPut<Infallible>>, Bell<'_>> {
        attempt::put(self, Needs { blocks: 0, slot }, |cell| {
            self.write(cell, value);
            if slot {
                let slot = slots::of_cell(self, cell).unwrap();
                self.socket(slot, |socket| socket.push(value));
                crate::crash::point();
            }
            Ok(())
        })
    }

    fn try_put(&self, value: u64) -> bool {
        matches!(self.attempt_put(value, false), Ok(Ok(())))
    }

    fn put(&self, value: u64) -> Result<(), End> {
        let attempt = || self.attempt_put(value, false);
        wait::until(self, Limit::Never, attempt, || members::sweep(self)).unwrap().map_err(|_| End)
    }

    /// Puts it with a descriptor.
    fn put_with(&self, value: u64) {
        let attempt = || self.attempt_put(value, true);
        wait::until(self, Limit::Never, attempt, || members::sweep(self)).unwrap().unwrap();
    }

    /// What is in the slot of a cell that is this process's. It stays there.
    fn peek(&self, cell: u32) -> Option<Vec<u64>> {
        slots::of_cell(self, cell).map(|slot| self.socket(slot, |socket| socket.clone()))
    }

    /// Gets an item that was put with a descriptor.
    fn get_with(&self) -> u64 {
        let taken = self.lease().unwrap();
        let value = self.read(taken.cell);
        assert_eq!(self.peek(taken.cell), Some(vec![value]), "another item's descriptors");
        crate::crash::point();
        cells::settle(self, taken.cell);
        value
    }

    fn lease(&self) -> Result<Taken, End> {
        let taken = wait::until(self, Limit::Never, || attempt::take(self), || members::sweep(self)).unwrap()?;
        attempt::tell_taken(self);
        Ok(taken)
    }

    /// Takes what is there, and acknowledges it.
    fn try_get(&self) -> Option<u64> {
        let taken = attempt::take(self).ok()?.ok()?;
        let value = self.read(taken.cell);
        cells::settle(self, taken.cell);
        Some(value)
    }

    fn get(&self) -> Result<u64, End> {
        let taken = wait::until(self, Limit::Never, || attempt::take(self), || members::sweep(self)).unwrap()?;
        let value = self.read(taken.cell);
        cells::settle(self, taken.cell);
        Ok(value)
    }

    /// What is left, once nobody else does anything.
    fn drain(&self) -> Vec<u64> {
        members::sweep(self);
        std::iter::from_fn(|| self.try_get()).collect()
    }

    fn assert_empty(&self) {
        members::sweep(self);
        for cell in 0..self.memory.shape.cells {
            let state = State::of(self.state(cell).load(Ordering::Acquire));
            assert_eq!(state, Some(State::Free), "cell {cell} is lost");
        }
        for slot in 0..self.memory.shape.slots {
            assert_eq!(self.slot_of(slot).load(Ordering::Acquire), 0, "slot {slot} is lost");
            assert!(self.socket(slot, |socket| socket.is_empty()), "slot {slot} is free, and full");
        }
        let (head, tail) = ring::span(self);
        assert_eq!(head, tail, "something seems to wait");
    }
}

/// For each number of points in turn: a process that lives for so many. The last one comes to its end.
fn with_each_death(preemptions: usize, least: u32, model: impl Fn(u32) -> bool + Sync + Send + Copy + 'static) {
    for points in 0.. {
        let survived = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let told = survived.clone();
        explore(preemptions, move || {
            if !model(points) {
                told.store(false, std::sync::atomic::Ordering::Relaxed);
            }
        });
        if survived.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(points >= least, "only {points} points to die at");
            return;
        }
    }
}

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

impl Twin {
    /// Whether no item was put, ever.
    fn is_put_nowhere(&self) -> bool {
        let (head, tail) = ring::span(self);
        head == tail && head == u64::from(self.memory.shape.ring)
    }
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

impl Twin {
    /// Gets what a process that is dead by now has left of one item, if it hasn't acknowledged it.
    fn drain_with(&self, survived: bool) -> bool {
        members::sweep(self);
        if !survived && self.cells_in_use() {
            assert_eq!(self.get_with(), 1);
        }
        survived
    }

    fn cells_in_use(&self) -> bool {
        cells::count(self, |state| state != State::Free) > 0
    }
}

// The controls: each breaks one thing.

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
