//! The writer's slots and the memory behind them.
//!
//! A slot is a number in the control memory; where its bytes stand can change each time the writer has it claimed. So
//! a ring grows to larger frames by a new segment, into which slots move one by one as they come round, and a
//! segment that no slot stands in any more is let go. The slots of a ring that is made for small frames begin behind
//! their headers in the control memory, and need no segment.

use std::sync::Arc;

use super::layout::{ControlMap, INLINE, MAX_DEPTH, MAX_INLINE_BYTES, MAX_SLOTS};
use crate::{
    fork::Forked,
    memory::{self, Budget, Mapping, MemoryError, Sealing},
    wire::Passed,
};

/// Why a ring can't be made, or can't take a frame or a reader.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The memory for it isn't there.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The depth is out of range.
    #[error("make a ring of depth {0}: it must be 1 to {MAX_DEPTH}")]
    Depth(u32),
    /// Too many leases are granted already.
    #[error(
        "grant {leases} more leases: the ring would need {slots} slots, and {MAX_SLOTS} is the most; attach fewer readers, or let them hold fewer frames"
    )]
    TooManySlots {
        /// How many were asked for.
        leases: u32,
        /// How many slots that would take.
        slots: u32,
    },
    /// The ring may not take so much; see [`Writer::create_within`](super::Writer::create_within).
    #[error(
        "take {asked_bytes} bytes more for a ring that has {used_bytes} of the {budget_bytes} it may have ({} bytes are \
         available on this machine, {} in this control group); give the ring a larger budget, or let it have fewer, \
         smaller frames or fewer readers", or_unlimited(left.machine_bytes), or_unlimited(left.group_bytes)
    )]
    OverBudget {
        /// How much more was asked for.
        asked_bytes: u64,
        /// What it has.
        used_bytes: u64,
        /// What it may have.
        budget_bytes: u64,
        /// What the machine would have.
        left: Budget,
    },
    /// Readers that block the writer have no room for another frame.
    #[error("publish without waiting: {readers} readers that block the writer have no room for another frame")]
    WouldBlock {
        /// How many.
        readers: usize,
    },
    /// This is a forked process, and the ring its parent's.
    #[error(transparent)]
    Forked(#[from] Forked),
    /// The system can't wait for readers.
    #[error("wait for readers: {0}")]
    System(#[from] std::io::Error),
}

fn or_unlimited(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "an unlimited number of".to_owned(), |bytes| bytes.to_string())
}

/// A piece of data memory.
#[derive(Debug)]
pub(super) struct Segment {
    pub id: u32,
    pub bytes: u64,
    pub mapping: Arc<Mapping>,
    pub memory: Passed,
    /// How many slots and spare places stand in it.
    places: u32,
}

/// Where a slot's bytes stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// [`INLINE`], or which segment.
    pub segment: u32,
    pub offset: u64,
    pub capacity: u64,
}

/// All slots, and the memory they stand in.
#[derive(Debug)]
pub(super) struct Store {
    control: Arc<Mapping>,
    control_memory: Passed,
    /// The room behind a slot's header.
    inline_bytes: usize,
    /// What all memory together may come to.
    budget_bytes: u64,
    /// What a new place holds: the largest frame so far has fitted into it.
    place_bytes: u64,
    slots: Vec<Place>,
    /// Places of `place_bytes` for the slots that are still smaller.
    spare: Vec<Place>,
    segments: Vec<Segment>,
    next_segment: u32,
}

impl Store {
    /// A store without slots, for frames of `frame_bytes`, and the control memory of its ring.
    pub(super) fn new(frame_bytes: usize, budget_bytes: u64) -> Result<(Self, ControlMap), RingError> {
        let inline_bytes = if frame_bytes <= MAX_INLINE_BYTES { frame_bytes.max(1).next_multiple_of(256) } else { 0 };
        let place_bytes = if inline_bytes > 0 { inline_bytes as u64 } else { whole_pages(frame_bytes as u64) };
        let (bytes, paid) = (ControlMap::bytes(inline_bytes), ControlMap::end_of(0, inline_bytes));
        let (mapping, control_memory) = memory::create_partly("framewire-control", bytes, paid, Sealing::OneWriter)?;
        let control = ControlMap::new(mapping, inline_bytes);
        let store = Self {
            control: control.memory().clone(),
            control_memory: Passed::new(control_memory),
            inline_bytes,
            budget_bytes,
            place_bytes,
            slots: Vec::new(),
            spare: Vec::new(),
            segments: Vec::new(),
            next_segment: 0,
        };
        Ok((store, control))
    }

    /// The descriptor of the control memory, and the room it has behind each slot's header.
    pub(super) fn control(&self) -> (&Passed, u32) {
        (&self.control_memory, self.inline_bytes as u32)
    }

    pub(super) fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(super) fn fits(&self, slot: u32, bytes: usize) -> bool {
        self.slots[slot as usize].capacity >= bytes as u64
    }

    /// Where a slot's bytes stand, and the memory that is in.
    pub(super) fn place(&self, slot: u32) -> (Place, &Arc<Mapping>) {
        let place = self.slots[slot as usize];
        if place.segment == INLINE {
            return (place, &self.control);
        }
        let segment = self.segments.iter().find(|segment| segment.id == place.segment);
        (place, &segment.expect("a segment stays while a slot stands in it").mapping)
    }

    /// Adds `count` slots. `true` if that took a new segment, the last of [`segments`](Self::segments), of which readers
    /// must learn.
    pub(super) fn add_slots(&mut self, count: u32) -> Result<bool, RingError> {
        let (before, slots) = (self.slots(), self.slots() + count);
        if slots > MAX_SLOTS {
            return Err(RingError::TooManySlots { leases: count, slots });
        }
        let [from, to] = [before, slots].map(|slots| ControlMap::end_of(slots, self.inline_bytes));
        let inline = self.place_bytes == self.inline_bytes as u64;
        let data = if inline { 0 } else { self.place_bytes.saturating_mul(u64::from(count)) };
        self.check_budget(data.saturating_add((to - from) as u64))?;
        memory::pay(&self.control_memory, &self.control, from, to)?;
        if inline {
            let place = |slot| {
                let offset = ControlMap::inline_at(slot, self.inline_bytes) as u64;
                Place { segment: INLINE, offset, capacity: self.place_bytes }
            };
            self.slots.extend((before..slots).map(place));
            return Ok(false);
        }
        let places = self.add_segment(count)?;
        self.slots.extend(places);
        Ok(true)
    }

    /// What the ring's memory comes to.
    fn used_bytes(&self) -> u64 {
        let control = ControlMap::end_of(self.slots(), self.inline_bytes) as u64;
        self.segments.iter().map(|segment| segment.bytes).sum::<u64>() + control
    }

    fn check_budget(&self, asked_bytes: u64) -> Result<(), RingError> {
        let (used_bytes, budget_bytes) = (self.used_bytes(), self.budget_bytes);
        if used_bytes.saturating_add(asked_bytes) > budget_bytes {
            return Err(RingError::OverBudget { asked_bytes, used_bytes, budget_bytes, left: Budget::now() });
        }
        Ok(())
    }

    /// Makes room for frames of `bytes`, if there is none yet: a new segment with a place for every slot.
    /// `true` if there is a new segment.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<bool, RingError> {
        if bytes as u64 <= self.place_bytes {
            return Ok(false);
        }
        let outgrown = self.place_bytes;
        self.place_bytes = roomy(bytes as u64);
        match self.add_segment(self.slots()) {
            Ok(places) => {
                let old = std::mem::replace(&mut self.spare, places);
                old.iter().for_each(|place| self.leave(*place));
                Ok(true)
            }
            Err(error) => {
                self.place_bytes = outgrown;
                Err(error)
            }
        }
    }

    /// Moves a claimed slot to a spare place. The segment that this empties is gone; its number is returned.
    pub(super) fn move_to_spare(&mut self, slot: u32) {
        // There is one for each slot that is still smaller than the largest frame.
        let place = self.spare.pop().expect("a spare place for every smaller slot");
        let left = std::mem::replace(&mut self.slots[slot as usize], place);
        self.leave(left);
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.spare.clear();
        self.segments.clear();
    }

    /// Lets go of the segments in which nothing stands, and gives their numbers.
    pub(super) fn retire(&mut self) -> Vec<u32> {
        let empty = self.segments.extract_if(.., |segment| segment.places == 0);
        empty.map(|segment| segment.id).collect()
    }

    fn leave(&mut self, place: Place) {
        if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == place.segment) {
            segment.places -= 1;
        }
    }

    fn add_segment(&mut self, places: u32) -> Result<Vec<Place>, RingError> {
        // More than there can be is more than there is: the budget says no.
        let bytes = self.place_bytes.saturating_mul(u64::from(places)).min(isize::MAX as u64);
        self.check_budget(bytes)?;
        let (mapping, memory) = memory::create("framewire-ring", bytes as usize, Sealing::OneWriter)?;
        let id = self.next_segment;
        self.next_segment += 1;
        self.segments.push(Segment { id, bytes, mapping: Arc::new(mapping), memory: Passed::new(memory), places });
        let place = |index| Place { segment: id, offset: index * self.place_bytes, capacity: self.place_bytes };
        Ok((0..u64::from(places)).map(place).collect())
    }
}

/// Pages, so that places begin where a copy is fastest and direct I/O is possible.
fn whole_pages(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(4096).unwrap_or(bytes)
}

/// More than asked for, so that key frames of growing size don't each bring a segment: doubling while that is small
/// change, a quarter more once it isn't (a raw frame's size doesn't creep).
fn roomy(bytes: u64) -> u64 {
    const SMALL_CHANGE: u64 = 1 << 20;
    if bytes < SMALL_CHANGE {
        bytes.next_power_of_two().max(4096)
    } else {
        whole_pages(bytes.saturating_add(bytes / 4))
    }
}
