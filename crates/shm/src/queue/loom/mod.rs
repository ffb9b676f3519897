//! The protocol under every interleaving that the memory model allows, with a death at each of its points, and controls that
//! must fail.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod calls;
mod controls;
mod deaths;
mod descriptors;

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

    /// Whether no item was put, ever.
    fn is_put_nowhere(&self) -> bool {
        let (head, tail) = ring::span(self);
        head == tail && head == u64::from(self.memory.shape.ring)
    }

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
