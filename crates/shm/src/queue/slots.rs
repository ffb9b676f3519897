//! Slots: which socket an item's descriptors are in.
//!
//! A slot names the cell that it belongs to, and the cell names the slot. As with blocks, only the process whose the cell is takes
//! the slot, puts a message into it, and gives it back emptied; if that process dies anywhere in between, whoever takes the cell
//! over finds the slot by looking at each, and empties it. So a slot that is free is empty, and the message in one that isn't is its
//! cell's.

use super::words::Words;
use crate::{crash, sync::Ordering};

/// Whether there is a free slot.
pub(crate) fn any_free<W: Words>(words: &W) -> bool {
    (0..words.shape().slots).any(|slot| words.slot_of(slot).load(Ordering::Relaxed) == 0)
}

/// Takes a free slot for a cell of this process's. `false` if there is none.
pub(crate) fn take<W: Words>(words: &W, cell: u32) -> bool {
    for slot in 0..words.shape().slots {
        let of = words.slot_of(slot);
        // SYNC POINT D: the last one has emptied its socket before we fill it.
        if of.load(Ordering::Relaxed) == 0
            && of.compare_exchange(0, cell + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            crash::point();
            let uses = words.slot_uses(slot);
            uses.store(uses.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            words.slot(cell).store(slot + 1, Ordering::Relaxed);
            crash::point();
            return true;
        }
    }
    false
}

/// The slot of a cell of this process's. What the cell says is an allegation: the slot is one that there is, and it names the cell.
pub(crate) fn of_cell<W: Words>(words: &W, cell: u32) -> Option<u32> {
    let slot = words.slot(cell).load(Ordering::Relaxed).checked_sub(1).filter(|slot| *slot < words.shape().slots)?;
    (words.slot_of(slot).load(Ordering::Relaxed) == cell + 1).then_some(slot)
}

/// Empties the slot of a cell, if it has one, and gives it back.
pub(super) fn free<W: Words>(words: &W, cell: u32) {
    if let Some(slot) = of_cell(words, cell) {
        empty_and_free(words, slot);
    }
    words.slot(cell).store(0, Ordering::Relaxed);
}

/// As [`free`], also one of which the cell doesn't know yet.
pub(super) fn free_all<W: Words>(words: &W, cell: u32) {
    for slot in 0..words.shape().slots {
        if words.slot_of(slot).load(Ordering::Relaxed) == cell + 1 {
            empty_and_free(words, slot);
        }
    }
    words.slot(cell).store(0, Ordering::Relaxed);
}

fn empty_and_free<W: Words>(words: &W, slot: u32) {
    words.empty(slot);
    crash::point();
    // SYNC POINT D: it is empty before the next one fills it.
    words.slot_of(slot).store(0, Ordering::Release);
    crash::point();
}
