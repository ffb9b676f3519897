//! A put and a take as they are made while it isn't known whether there is room, or an item: from the first look to the ring of the
//! bell.

use super::{
    blocks,
    cells::{self, Taken},
    ring::{self, Nothing, Refused},
    slots, wait,
    words::{Bell, Words},
};
use crate::crash;

/// The queue is closed, and nothing waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End;

/// What an item needs beside a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    /// How many blocks.
    pub blocks: u32,
    /// Whether a slot, for its descriptors.
    pub slot: bool,
}

/// Why an item wasn't put, and waiting won't help.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotPut<E> {
    /// The queue is closed.
    Closed,
    /// It couldn't be written.
    Unwritten(E),
}

/// Puts an item that `write` writes into its cell, if there is room now; else it says what to wait for.
pub(crate) fn put<W: Words, E>(
    words: &W,
    needs: Needs,
    write: impl FnOnce(u32) -> Result<(), E>,
) -> Result<Result<(), NotPut<E>>, Bell<'_>> {
    match ring::admits(words) {
        Ok(()) => {}
        Err(Refused::Closed) => return Ok(Err(NotPut::Closed)),
        Err(Refused::Full) => return Err(words.room()),
    }
    if needs.slot && !slots::any_free(words) {
        return Err(words.blocks());
    }
    let Some(cell) = cells::claim(words) else { return Err(words.room()) };
    crash::point();
    let has_blocks = needs.blocks == 0 || blocks::take(words, cell, needs.blocks);
    if !has_blocks || (needs.slot && !slots::take(words, cell)) {
        cells::settle(words, cell);
        return Err(words.blocks());
    }
    if let Err(unwritten) = write(cell) {
        cells::settle(words, cell);
        return Ok(Err(NotPut::Unwritten(unwritten)));
    }
    crash::point();
    match ring::put(words, cell) {
        Ok(()) => {
            crash::point();
            wait::ring(words.items(), false);
            Ok(Ok(()))
        }
        Err(refused) => {
            cells::settle(words, cell);
            if refused == Refused::Closed { Ok(Err(NotPut::Closed)) } else { Err(words.room()) }
        }
    }
}

/// Takes an item, if one waits now; else it says what to wait for. Whoever takes it tells that there is room: by [`tell_taken`], or
/// by settling it at once.
pub(crate) fn take<W: Words>(words: &W) -> Result<Result<Taken, End>, Bell<'_>> {
    match cells::take(words) {
        Ok(taken) => Ok(Ok(taken)),
        Err(Nothing::Closed) => Ok(Err(End)),
        Err(Nothing::Empty) => Err(words.items()),
    }
}

/// There is room for one more to wait.
pub(crate) fn tell_taken<W: Words>(words: &W) {
    crash::point();
    wait::ring(words.room(), false);
}

/// Marks the end, and tells everybody.
pub(crate) fn close<W: Words>(words: &W) {
    ring::close(words);
    crash::point();
    for bell in [words.items(), words.room(), words.blocks()] {
        wait::ring(bell, true);
    }
}
