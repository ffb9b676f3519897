//! Blocks: where the bytes stand that are too many for a cell.
//!
//! A block names the cell that it belongs to, and the blocks of a cell are a chain. Only the process whose the cell is takes and
//! gives them, so a chain needs no care; and if that process dies halfway, the blocks that name the cell are found by looking
//! at each.

use super::words::Words;
use crate::{crash, sync::Ordering};

/// Takes `count` free blocks for a cell of this process's. `false` if there aren't so many: then it has none.
pub(crate) fn take<W: Words>(words: &W, cell: u32, count: u32) -> bool {
    let blocks = words.shape().blocks;
    let mut block = words.block_cursor().load(Ordering::Relaxed);
    let mut left = count;
    for _ in 0..blocks {
        if left == 0 {
            break;
        }
        if block >= blocks {
            block = 0;
        }
        let of = words.block_of(block);
        // SYNC POINT B: the last one's reads come before our writes.
        if of.load(Ordering::Relaxed) == 0
            && of.compare_exchange(0, cell + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            crash::point();
            let first = words.first_block(cell);
            words.next_block(block).store(first.load(Ordering::Relaxed), Ordering::Relaxed);
            first.store(block + 1, Ordering::Relaxed);
            crash::point();
            left -= 1;
        }
        block += 1;
    }
    words.block_cursor().store(block, Ordering::Relaxed);
    if left > 0 {
        free_chain(words, cell);
    }
    left == 0
}

/// The blocks of a cell, in the order in which its bytes stand in them. What a chain says is an allegation: the blocks are
/// ones that there are, and no more than there are.
pub(crate) fn chain<W: Words>(words: &W, cell: u32) -> impl Iterator<Item = u32> {
    let blocks = words.shape().blocks;
    let known = move |next: u32| next.checked_sub(1).filter(|block| *block < blocks);
    let first = known(words.first_block(cell).load(Ordering::Relaxed));
    let next = move |block: &u32| known(words.next_block(*block).load(Ordering::Relaxed));
    std::iter::successors(first, next).take(blocks as usize)
}

/// Gives the blocks of a cell back.
pub(super) fn free_chain<W: Words>(words: &W, cell: u32) {
    for block in chain(words, cell) {
        free(words, block, cell);
    }
    words.first_block(cell).store(0, Ordering::Relaxed);
}

/// As [`free_chain`], also those that didn't get into the chain.
pub(super) fn free_all<W: Words>(words: &W, cell: u32) {
    for block in 0..words.shape().blocks {
        free(words, block, cell);
    }
    words.first_block(cell).store(0, Ordering::Relaxed);
}

fn free<W: Words>(words: &W, block: u32, cell: u32) {
    if words.block_of(block).load(Ordering::Relaxed) == cell + 1 {
        // SYNC POINT B: our reads come before the next one's writes.
        words.block_of(block).store(0, Ordering::Release);
        crash::point();
    }
}
