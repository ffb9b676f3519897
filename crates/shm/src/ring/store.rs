//! The writer's slots and the memory behind them.
//!
//! A slot is a number in the control memory; where its bytes stand can change each time the writer has it claimed. So
//! a ring grows to larger frames by a new segment, into which slots move one by one as they come round, and a
//! segment that no slot stands in any more is let go.

use std::{os::fd::OwnedFd, sync::Arc};

use super::layout::{MAX_DEPTH, MAX_SLOTS};
use crate::memory::{self, Mapping, MemoryError, Sealing};

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
    /// The system can't wait for readers.
    #[error("wait for readers: {0}")]
    System(#[from] std::io::Error),
}

/// A piece of data memory.
#[derive(Debug)]
pub(super) struct Segment {
    pub id: u32,
    pub bytes: u64,
    pub mapping: Arc<Mapping>,
    pub memory: OwnedFd,
    /// How many slots and spare places stand in it.
    places: u32,
}

/// Where a slot's bytes stand.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u32,
    offset: u64,
    capacity: u64,
}

/// All slots, and the segments they stand in.
#[derive(Debug)]
pub(super) struct Store {
    /// What a new place holds: the largest frame so far has fitted into it.
    place_bytes: u64,
    slots: Vec<Place>,
    /// Places of `place_bytes` for the slots that are still smaller.
    spare: Vec<Place>,
    segments: Vec<Segment>,
    next_segment: u32,
}

impl Store {
    pub(super) fn new(frame_bytes: usize) -> Self {
        let place_bytes = whole_pages(frame_bytes.max(1) as u64);
        Self { place_bytes, slots: Vec::new(), spare: Vec::new(), segments: Vec::new(), next_segment: 0 }
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

    /// The memory of a slot, and where in it.
    pub(super) fn place(&self, slot: u32) -> (&Segment, u64) {
        let place = self.slots[slot as usize];
        let segment = self.segments.iter().find(|segment| segment.id == place.segment);
        (segment.expect("a segment stays while a slot stands in it"), place.offset)
    }

    /// Adds `count` slots. The new segment, which readers must learn of, is the last of [`segments`](Self::segments).
    pub(super) fn add_slots(&mut self, count: u32) -> Result<(), RingError> {
        let slots = self.slots() + count;
        if slots > MAX_SLOTS {
            return Err(RingError::TooManySlots { leases: count, slots });
        }
        let places = self.add_segment(count)?;
        self.slots.extend(places);
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
        let (mapping, memory) = memory::create("framewire-ring", bytes as usize, Sealing::OneWriter)?;
        let id = self.next_segment;
        self.next_segment += 1;
        self.segments.push(Segment { id, bytes, mapping: Arc::new(mapping), memory, places });
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
