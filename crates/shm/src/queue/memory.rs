//! Where a queue's words stand in its arena.
//!
//! ```text
//! 0      what it is (the shape and the options): written once
//! 128    tail, cursors        what producers write
//! 256    head                 what consumers write
//! 384    bells, returns       what is written when somebody sleeps, or an item comes back
//! 512    members              4 bytes each
//!        ring                 8 bytes each
//!        blocks' words        8 bytes each
//!        slots' words         8 bytes each
//!        cells                state, ticket, length, first block, slot, and then the item's bytes
//!        blocks               4096 bytes each
//! ```
//!
//! What is written by different processes stands in different cache lines (128 bytes apart, since they are fetched in
//! pairs), so one producer and one consumer meet only in the ring and in the cells.

use super::{
    blocks,
    error::QueueError,
    options::{Acknowledge, QueueOptions},
    ring::MAX_CELLS,
    slots,
    sockets::{MAX_SLOTS, Sockets, Tag, Unread},
    words::{Bell, Shape, Words},
};
use crate::{
    arena::{Arena, MAX_MEMBERS, Place},
    sync::{AtomicU32, AtomicU64, Ordering},
    wire::{Passed, SendError},
};

/// A queue's kind, as the arena records it.
const KIND: u32 = u32::from_le_bytes(*b"QUEU");
const VERSION: u64 = 2;

const CAPACITY_AT: usize = 8;
const CELLS_AT: usize = 12;
const BLOCKS_AT: usize = 16;
const INLINE_AT: usize = 20;
const MAX_DELIVERIES_AT: usize = 24;
const DEAD_LETTERS_AT: usize = 28;
const BY_TASK_DONE_AT: usize = 32;
const SLOTS_AT: usize = 36;

const TAIL_AT: usize = 128;
const CELL_CURSOR_AT: usize = 136;
const BLOCK_CURSOR_AT: usize = 140;
const HEAD_AT: usize = 256;
const BELLS_AT: usize = 384;
/// Of 8 bytes each.
const BELLS: usize = 4;
const RETURNS_AT: usize = 416;
const RETURNS_SEEN_AT: usize = 420;
const MEMBERS_USED_AT: usize = 424;
const MEMBERS_AT: usize = 512;
const RING_AT: usize = MEMBERS_AT + MAX_MEMBERS as usize * 4;

const STATE_IN_CELL: usize = 0;
const TICKET_IN_CELL: usize = 8;
const LENGTH_IN_CELL: usize = 16;
const FIRST_BLOCK_IN_CELL: usize = 24;
const SLOT_IN_CELL: usize = 28;
const ITEM_IN_CELL: usize = 32;

/// The bytes of a block: a page, so that little is left over of large items and few blocks are needed.
pub(super) const BLOCK_BYTES: usize = 4096;

/// How many producers can be amidst a put beside all the items that wait, are out, or are dead letters.
const IN_TRANSIT: u32 = 16;

/// A queue's words, and how large it is: read once, and checked.
#[derive(Debug)]
pub(super) struct Memory {
    place: Place,
    shape: Shape,
    inline_bytes: usize,
    pub acknowledge: Acknowledge,
    sockets: Sockets,
    block_words_at: usize,
    slot_words_at: usize,
    cells_at: usize,
    cell_bytes: usize,
    blocks_at: usize,
}

impl Memory {
    /// How many bytes of an arena such a queue takes, without what the arena needs for each object.
    pub(super) fn bytes_for(options: &QueueOptions) -> Result<usize, QueueError> {
        let (shape, inline_bytes) = shape(options)?;
        Spans::of(&shape, inline_bytes).map(|spans| spans.bytes).ok_or(QueueError::TooLarge)
    }

    pub(super) fn create(arena: &Arena, options: &QueueOptions) -> Result<Self, QueueError> {
        let (shape, inline_bytes) = shape(options)?;
        let spans = Spans::of(&shape, inline_bytes).ok_or(QueueError::TooLarge)?;
        let sockets = Sockets::create(shape.slots).map_err(QueueError::Sockets)?;
        let place = arena.allocate(KIND, spans.bytes)?;
        for (at, value) in [
            (CAPACITY_AT, shape.capacity),
            (CELLS_AT, shape.cells),
            (BLOCKS_AT, shape.blocks),
            (INLINE_AT, inline_bytes as u32),
            (MAX_DELIVERIES_AT, shape.max_deliveries),
            (DEAD_LETTERS_AT, shape.dead_letters),
            (BY_TASK_DONE_AT, u32::from(options.acknowledge == Acknowledge::ByTaskDone)),
            (SLOTS_AT, shape.slots),
        ] {
            place.word32(at).store(value, Ordering::Relaxed);
        }
        place.word64(0).store(VERSION, Ordering::Relaxed);
        // The ring is zeroes: tickets older than the first one.
        for at in [TAIL_AT, HEAD_AT] {
            place.word64(at).store(u64::from(shape.ring), Ordering::Relaxed);
        }
        Ok(Self::new(place, shape, inline_bytes, options.acknowledge, sockets, spans))
    }

    /// What another process told of: what its words say is checked against the place's size.
    pub(super) fn open(arena: &Arena, offset: u64, sockets: Vec<Passed>) -> Result<Self, QueueError> {
        let place = arena.open(offset, KIND, RING_AT)?;
        let word = |at| place.word32(at).load(Ordering::Relaxed);
        let capacity = word(CAPACITY_AT);
        if place.word64(0).load(Ordering::Relaxed) != VERSION || capacity == 0 || capacity >= MAX_CELLS {
            return Err(QueueError::Alleged);
        }
        let shape = Shape {
            capacity,
            ring: ring_for(capacity),
            cells: word(CELLS_AT),
            blocks: word(BLOCKS_AT),
            slots: word(SLOTS_AT),
            max_deliveries: word(MAX_DELIVERIES_AT),
            dead_letters: word(DEAD_LETTERS_AT),
            members: u32::from(MAX_MEMBERS),
        };
        let inline_bytes = word(INLINE_AT) as usize;
        let acknowledge = if word(BY_TASK_DONE_AT) == 1 { Acknowledge::ByTaskDone } else { Acknowledge::OnReturn };
        let spans = Spans::of(&shape, inline_bytes).filter(|spans| spans.bytes <= place.bytes());
        let spans = spans
            .filter(|_| shape.cells <= MAX_CELLS && shape.cells > capacity && shape.slots as usize <= MAX_SLOTS)
            .ok_or(QueueError::Alleged)?;
        let sockets = Sockets::received(sockets, shape.slots)?;
        Ok(Self::new(place, shape, inline_bytes, acknowledge, sockets, spans))
    }

    fn new(
        place: Place,
        shape: Shape,
        inline_bytes: usize,
        acknowledge: Acknowledge,
        sockets: Sockets,
        spans: Spans,
    ) -> Self {
        let Spans { block_words_at, slot_words_at, cells_at, cell_bytes, blocks_at, .. } = spans;
        Self {
            place,
            shape,
            inline_bytes,
            acknowledge,
            sockets,
            block_words_at,
            slot_words_at,
            cells_at,
            cell_bytes,
            blocks_at,
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// How many bytes the largest item can have.
    pub(super) fn most_bytes(&self) -> usize {
        (self.shape.blocks as usize * BLOCK_BYTES).max(self.inline_bytes)
    }

    /// How many blocks an item of so many bytes needs.
    pub(super) fn blocks_for(&self, bytes: usize) -> u32 {
        if bytes <= self.inline_bytes { 0 } else { bytes.div_ceil(BLOCK_BYTES) as u32 }
    }

    /// Writes an item into a cell that is ours, and that has the blocks for it.
    pub(super) fn write(&self, cell: u32, bytes: &[u8]) {
        self.place.word64(self.cell_at(cell) + LENGTH_IN_CELL).store(bytes.len() as u64, Ordering::Relaxed);
        if bytes.len() <= self.inline_bytes {
            self.place.copy_in(self.cell_at(cell) + ITEM_IN_CELL, bytes);
        } else {
            for (block, part) in blocks::chain(self, cell).zip(bytes.chunks(BLOCK_BYTES)) {
                self.place.copy_in(self.blocks_at + block as usize * BLOCK_BYTES, part);
            }
        }
    }

    /// Reads the item in a cell that is ours. What the length says is an allegation; what can't be comes out short, and is
    /// then no item to whoever decodes it.
    pub(super) fn read(&self, cell: u32, into: &mut Vec<u8>) {
        let length = self.place.word64(self.cell_at(cell) + LENGTH_IN_CELL).load(Ordering::Relaxed);
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(self.most_bytes());
        into.clear();
        into.resize(length, 0);
        if length <= self.inline_bytes {
            self.place.copy_out(self.cell_at(cell) + ITEM_IN_CELL, into);
        } else {
            for (block, part) in blocks::chain(self, cell).zip(into.chunks_mut(BLOCK_BYTES)) {
                self.place.copy_out(self.blocks_at + block as usize * BLOCK_BYTES, part);
            }
        }
    }

    /// Whether the item in a cell that is ours was put with descriptors.
    #[inline]
    pub(super) fn has_descriptors(&self, cell: u32) -> bool {
        self.slot(cell).load(Ordering::Relaxed) != 0
    }

    /// Sends what goes with the item in a cell that is ours, and that has a slot for it.
    pub(super) fn send(&self, cell: u32, descriptors: &[Passed]) -> Result<(), SendError> {
        let slot = slots::of_cell(self, cell).ok_or(SendError::Gone)?;
        self.sockets.send(slot, self.tag(slot, cell), descriptors)
    }

    /// Copies of what went with the item in a cell that is ours.
    pub(super) fn descriptors(&self, cell: u32) -> Result<Vec<Passed>, Unread> {
        if !self.has_descriptors(cell) {
            return Ok(Vec::new());
        }
        let slot = slots::of_cell(self, cell).ok_or(Unread::Missing)?;
        self.sockets.peek(slot, self.tag(slot, cell))
    }

    fn tag(&self, slot: u32, cell: u32) -> Tag {
        Tag { cell, uses: self.slot_uses(slot).load(Ordering::Relaxed) }
    }

    #[inline]
    fn cell_at(&self, cell: u32) -> usize {
        self.cells_at + cell as usize * self.cell_bytes
    }

    /// Where what is slept on stands in the arena.
    pub(super) fn offset_of(&self, bell: Bell<'_>) -> usize {
        let index = (0..BELLS).find(|index| self.bell(*index).is(bell)).unwrap_or(0);
        self.place.offset_of(BELLS_AT + index * 8)
    }

    #[inline]
    fn bell(&self, index: usize) -> Bell<'_> {
        let at = BELLS_AT + index * 8;
        Bell { rings: self.place.word32(at), sleepers: self.place.word32(at + 4) }
    }
}

impl Words for Memory {
    type Members = Arena;

    #[inline]
    fn members(&self) -> &Arena {
        self.place.arena()
    }
    #[inline]
    fn shape(&self) -> Shape {
        self.shape
    }
    #[inline]
    fn head(&self) -> &AtomicU64 {
        self.place.word64(HEAD_AT)
    }
    #[inline]
    fn tail(&self) -> &AtomicU64 {
        self.place.word64(TAIL_AT)
    }
    #[inline]
    fn entry(&self, index: u32) -> &AtomicU64 {
        self.place.word64(RING_AT + index as usize * 8)
    }
    #[inline]
    fn state(&self, cell: u32) -> &AtomicU64 {
        self.place.word64(self.cell_at(cell) + STATE_IN_CELL)
    }
    #[inline]
    fn ticket(&self, cell: u32) -> &AtomicU64 {
        self.place.word64(self.cell_at(cell) + TICKET_IN_CELL)
    }
    #[inline]
    fn first_block(&self, cell: u32) -> &AtomicU32 {
        self.place.word32(self.cell_at(cell) + FIRST_BLOCK_IN_CELL)
    }
    #[inline]
    fn block_of(&self, block: u32) -> &AtomicU32 {
        self.place.word32(self.block_words_at + block as usize * 8)
    }
    #[inline]
    fn next_block(&self, block: u32) -> &AtomicU32 {
        self.place.word32(self.block_words_at + block as usize * 8 + 4)
    }
    #[inline]
    fn slot(&self, cell: u32) -> &AtomicU32 {
        self.place.word32(self.cell_at(cell) + SLOT_IN_CELL)
    }
    #[inline]
    fn slot_of(&self, slot: u32) -> &AtomicU32 {
        self.place.word32(self.slot_words_at + slot as usize * 8)
    }
    #[inline]
    fn slot_uses(&self, slot: u32) -> &AtomicU32 {
        self.place.word32(self.slot_words_at + slot as usize * 8 + 4)
    }
    fn empty(&self, slot: u32) {
        self.sockets.empty(slot);
    }
    #[inline]
    fn cell_cursor(&self) -> &AtomicU32 {
        self.place.word32(CELL_CURSOR_AT)
    }
    #[inline]
    fn block_cursor(&self) -> &AtomicU32 {
        self.place.word32(BLOCK_CURSOR_AT)
    }
    #[inline]
    fn items(&self) -> Bell<'_> {
        self.bell(0)
    }
    #[inline]
    fn room(&self) -> Bell<'_> {
        self.bell(1)
    }
    #[inline]
    fn blocks(&self) -> Bell<'_> {
        self.bell(2)
    }
    #[inline]
    fn settled(&self) -> Bell<'_> {
        self.bell(3)
    }
    #[inline]
    fn returns(&self) -> &AtomicU32 {
        self.place.word32(RETURNS_AT)
    }
    #[inline]
    fn returns_seen(&self) -> &AtomicU32 {
        self.place.word32(RETURNS_SEEN_AT)
    }
    #[inline]
    fn member(&self, index: u32) -> &AtomicU32 {
        self.place.word32(MEMBERS_AT + index as usize * 4)
    }
    #[inline]
    fn members_used(&self) -> &AtomicU32 {
        self.place.word32(MEMBERS_USED_AT)
    }
}

/// Where the parts of a queue begin whose size depends on its shape.
struct Spans {
    block_words_at: usize,
    slot_words_at: usize,
    cells_at: usize,
    cell_bytes: usize,
    blocks_at: usize,
    bytes: usize,
}

impl Spans {
    /// `None` if that is more than there are addresses.
    fn of(shape: &Shape, inline_bytes: usize) -> Option<Self> {
        let after = |at: usize, count: u32, bytes: usize| {
            at.checked_add((count as usize).checked_mul(bytes)?)?.checked_next_multiple_of(128)
        };
        let cell_bytes = inline_bytes.checked_add(ITEM_IN_CELL)?.checked_next_multiple_of(64)?;
        let block_words_at = after(RING_AT, shape.ring, 8)?;
        let slot_words_at = after(block_words_at, shape.blocks, 8)?;
        let cells_at = after(slot_words_at, shape.slots, 8)?;
        let blocks_at = after(cells_at, shape.cells, cell_bytes)?;
        let bytes = after(blocks_at, shape.blocks, BLOCK_BYTES)?;
        Some(Self { block_words_at, slot_words_at, cells_at, cell_bytes, blocks_at, bytes })
    }
}

fn shape(options: &QueueOptions) -> Result<(Shape, usize), QueueError> {
    let count = |count: usize| u32::try_from(count).map_err(|_| QueueError::TooLarge);
    let capacity = count(options.capacity)?;
    if capacity == 0 {
        return Err(QueueError::NoCapacity);
    }
    let leases = count(options.leases.unwrap_or(options.capacity))?;
    let dead_letters = if options.max_deliveries == 0 { 0 } else { count(options.dead_letters)? };
    let sum = [leases, dead_letters, IN_TRANSIT].iter().try_fold(capacity, |sum, more| sum.checked_add(*more));
    let cells = sum.filter(|cells| *cells <= MAX_CELLS).ok_or(QueueError::TooLarge)?;
    let blocks = count(options.large_bytes.div_ceil(BLOCK_BYTES))?;
    count(options.inline_bytes)?;
    if options.descriptor_slots > MAX_SLOTS {
        return Err(QueueError::TooManySlots(options.descriptor_slots));
    }
    let slots = count(options.descriptor_slots)?;
    let (max_deliveries, members) = (options.max_deliveries, u32::from(MAX_MEMBERS));
    let shape =
        Shape { capacity, ring: ring_for(capacity), cells, blocks, slots, max_deliveries, dead_letters, members };
    Ok((shape, options.inline_bytes))
}

/// One entry more than may wait, for the mark of the end.
fn ring_for(capacity: u32) -> u32 {
    (capacity + 1).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{noise::noise, queue::Queue};

    #[test]
    fn hostile_memory_is_an_error_at_worst() {
        let options =
            QueueOptions { capacity: 4, large_bytes: 8 * BLOCK_BYTES, descriptor_slots: 3, ..QueueOptions::default() };
        let some = || {
            let descriptor = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap();
            vec![Passed::new(descriptor)]
        };
        let arena = Arena::create(options.bytes().unwrap() * 15).unwrap();
        for seed in 0..15 {
            let queue: Queue<(Vec<u8>, Vec<Passed>)> = Queue::create(&arena, options.clone()).unwrap();
            (0..3).for_each(|number| queue.put((vec![number; 3000], some())).unwrap());
            let place = queue.shared.memory.place().clone();
            // Everywhere, or here and there; but not the list of members, where each that seems to be dying takes its time.
            let every = [8, 8 * 7, 8 * 31][seed as usize % 3];
            for (at, value) in (TAIL_AT..place.bytes() - 8).step_by(every).zip(noise(seed)) {
                if !(MEMBERS_USED_AT - 4..RING_AT).contains(&at) {
                    let small = if seed % 2 == 0 { value } else { value % 64 };
                    place.word64(at).store(small, Ordering::Relaxed);
                }
            }
            let began = Instant::now();
            for _ in 0..5 {
                let _ = queue.try_put((vec![1; 10], some()));
                let _ = queue.try_put((vec![1; 20_000], Vec::new()));
                drop(queue.try_lease());
                let _ = queue.try_get();
                let _ = (queue.len(), queue.is_full(), queue.leased(), queue.unfinished(), queue.is_closed());
                drop(queue.take_dead_letter());
                let _ = queue.join_for(Duration::ZERO);
            }
            let _ = queue.close();
            assert!(began.elapsed() < Duration::from_secs(5), "seed {seed}: {:?}", began.elapsed());
        }
    }

    #[test]
    fn a_shape_that_cannot_be_is_refused() {
        let options = QueueOptions { capacity: 4, descriptor_slots: 3, ..QueueOptions::default() };
        let arena = Arena::create(options.bytes().unwrap()).unwrap();
        let memory = Arc::new(Memory::create(&arena, &options).unwrap());
        let offset = memory.place().address().offset;
        let open = || Memory::open(&arena, offset, memory.sockets().all().to_vec());
        assert!(open().is_ok());
        for at in [0, CAPACITY_AT, CELLS_AT, BLOCKS_AT, INLINE_AT, SLOTS_AT] {
            for value in [0, 1 << 24, u32::MAX] {
                let word = memory.place().word32(at);
                let right = word.swap(value, Ordering::Relaxed);
                let opened = open();
                // Fewer blocks, or smaller items, can be.
                assert!(opened.is_err() || (value == 0 && (at == BLOCKS_AT || at == INLINE_AT)), "{at} {value}");
                word.store(right, Ordering::Relaxed);
            }
        }
    }
}
