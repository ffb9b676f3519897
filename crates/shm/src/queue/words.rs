//! The shared words of a queue, as the protocol sees them: over mapped memory (`memory.rs`), or a twin in one process.

use crate::{
    arena::Members,
    sync::{AtomicU32, AtomicU64},
};

/// How large a queue is. Each process checks it once, when it opens the queue, and keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// How many items may wait.
    pub capacity: u32,
    /// How many entries the ring has: a power of two, more than `capacity`, so that there is one for the mark of the end.
    pub ring: u32,
    /// How many items there can be in whatever state.
    pub cells: u32,
    /// How many blocks there are for what is too large for a cell.
    pub blocks: u32,
    /// How many slots there are for items with descriptors.
    pub slots: u32,
    /// After how many deliveries an item is given up; 0: never.
    pub max_deliveries: u32,
    /// How many items may be given up, for somebody to look at.
    pub dead_letters: u32,
    /// How many processes can take part.
    pub members: u32,
}

/// The words. Every index that is passed here was checked against the [`Shape`].
pub(crate) trait Words {
    /// The processes that take part.
    type Members: Members;

    /// The processes that take part.
    fn members(&self) -> &Self::Members;
    /// How large everything is.
    fn shape(&self) -> Shape;

    /// The ticket of the item that is taken next, or a bit behind: whoever comes helps it on.
    fn head(&self) -> &AtomicU64;
    /// The ticket of the item that is put next, or a bit behind.
    fn tail(&self) -> &AtomicU64;
    /// The `index`th word of the ring: see [`Entry`](super::ring::Entry).
    fn entry(&self, index: u32) -> &AtomicU64;

    /// What `cell` is: see [`State`](super::state::State).
    fn state(&self, cell: u32) -> &AtomicU64;
    /// The ticket of the item in `cell`.
    fn ticket(&self, cell: u32) -> &AtomicU64;
    /// The first block of the item in `cell`, plus 1; 0: none.
    fn first_block(&self, cell: u32) -> &AtomicU32;
    /// The cell that `block` belongs to, plus 1; 0: none.
    fn block_of(&self, block: u32) -> &AtomicU32;
    /// The next block of the same item, plus 1; 0: none.
    fn next_block(&self, block: u32) -> &AtomicU32;
    /// The slot of the item in `cell`, plus 1; 0: none.
    fn slot(&self, cell: u32) -> &AtomicU32;
    /// The cell that `slot` belongs to, plus 1; 0: none.
    fn slot_of(&self, slot: u32) -> &AtomicU32;
    /// How often `slot` was taken.
    fn slot_uses(&self, slot: u32) -> &AtomicU32;
    /// Throws away what is in the socket of `slot`, which is this process's.
    fn empty(&self, slot: u32);
    /// Where to look first for a free cell. A hint.
    fn cell_cursor(&self) -> &AtomicU32;
    /// Where to look first for a free block. A hint.
    fn block_cursor(&self) -> &AtomicU32;

    /// What getters sleep on.
    fn items(&self) -> Bell<'_>;
    /// What putters sleep on.
    fn room(&self) -> Bell<'_>;
    /// What putters sleep on who need more blocks than there are, or a slot.
    fn blocks(&self) -> Bell<'_>;
    /// What those who join sleep on.
    fn settled(&self) -> Bell<'_>;

    /// How often an item came back.
    fn returns(&self) -> &AtomicU32;
    /// What `returns` was when somebody looked at every cell and found nothing that had come back.
    fn returns_seen(&self) -> &AtomicU32;

    /// A process that takes part, or 0.
    fn member(&self, index: u32) -> &AtomicU32;
    /// No higher one of them was ever used.
    fn members_used(&self) -> &AtomicU32;
}

/// Two words by which somebody sleeps and is woken: see `wait.rs`.
#[derive(Clone, Copy)]
pub(crate) struct Bell<'a> {
    /// Changes with each ring. What is slept on.
    pub rings: &'a AtomicU32,
    /// 0 if nobody sleeps or is about to; otherwise [`marked`](super::wait) by the last who did.
    pub sleepers: &'a AtomicU32,
}

impl Bell<'_> {
    /// Whether both are one.
    pub(crate) fn is(self, other: Bell<'_>) -> bool {
        std::ptr::eq(self.rings, other.rings)
    }
}
