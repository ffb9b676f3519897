//! A put and a take as they are made while it isn't known whether there is room, or an item: from the first look to the ring of the
//! bell.

use super::{
    blocks,
    cells::{self, Taken},
    ring::{self, Nothing, Refused},
    wait,
    words::{Bell, Words},
};
use crate::crash;

/// The queue is closed; for a getter also: and nothing waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End;

/// Puts an item that needs so many blocks, and that `write` writes into its cell, if there is room now; else it says what to wait
/// for.
pub(crate) fn put<W: Words>(words: &W, blocks: u32, write: impl FnOnce(u32)) -> Result<Result<(), End>, Bell<'_>> {
    match ring::admits(words) {
        Ok(()) => {}
        Err(Refused::Closed) => return Ok(Err(End)),
        Err(Refused::Full) => return Err(words.room()),
    }
    let Some(cell) = cells::claim(words) else { return Err(words.room()) };
    crash::point();
    if blocks > 0 && !blocks::take(words, cell, blocks) {
        cells::settle(words, cell);
        return Err(words.blocks());
    }
    write(cell);
    crash::point();
    match ring::put(words, cell) {
        Ok(()) => {
            crash::point();
            wait::ring(words.items(), false);
            Ok(Ok(()))
        }
        Err(refused) => {
            cells::settle(words, cell);
            if refused == Refused::Closed { Ok(Err(End)) } else { Err(words.room()) }
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
