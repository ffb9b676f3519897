//! The order of the items: a ring of which cell has which ticket, without a lock.
//!
//! Two steps matter, each one compare-and-swap:
//!
//! * **Put**: the ring's word for the ticket, from whatever older one stood there to `{ticket, cell}`.
//! * **Take**: the cell's state, from `Filled` under that ticket to `Leased`.
//!
//! `head` and `tail` only follow. Who finds the word of `tail` taken, or the cell of `head` no longer `Filled` under that ticket,
//! moves the counter on and goes on: so nobody ever waits for a process that was stopped or killed between two steps.
//! Tickets only grow; a word or state that was read before a long sleep is never there again, and the
//! compare-and-swap on it fails.
//!
//! The end of the queue is a mark in the ring too: no put comes behind it, and every one before it is found before it.

use super::{
    state::{State, ticket_bits},
    words::Words,
};
use crate::{
    arena::Members,
    crash,
    sync::{AtomicU64, Ordering},
};

/// How often to try again when others were faster, which for each of us means that one of them got on. More often than that
/// is no bad luck but memory that was damaged on purpose, and then full or empty is as good an answer as any.
const TRIES: u32 = 100_000;

/// A word of the ring: `[ticket: 40][cell: 24]`.
#[derive(Clone, Copy)]
struct Entry(u64);

const CELL_BITS: u32 = 24;
/// In the place of a cell: no put comes after this.
const THE_END: u32 = (1 << CELL_BITS) - 1;
/// The most cells that a queue can have.
#[cfg(not(all(test, feature = "loom")))]
pub(super) const MAX_CELLS: u32 = THE_END;

/// How an entry's ticket stands to one that is looked for.
#[derive(PartialEq, Eq)]
enum Age {
    Older,
    Same,
    Newer,
}

impl Entry {
    fn new(ticket: u64, cell: u32) -> Self {
        Self(ticket << CELL_BITS | u64::from(cell))
    }

    fn cell(self) -> u32 {
        self.0 as u32 & THE_END
    }

    /// Tickets are compared by their lowest 40 bits: a hundred days at 100 000 items a second from one being taken for
    /// another, by a process that was stopped all that time.
    fn age(self, ticket: u64) -> Age {
        match ((ticket << CELL_BITS) as i64).wrapping_sub((self.0 & !u64::from(THE_END)) as i64) {
            0 => Age::Same,
            1.. => Age::Older,
            _ => Age::Newer,
        }
    }
}

/// Why nothing was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many wait as may.
    Full,
    /// The end was marked.
    Closed,
}

/// Why nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// Nothing waits.
    Empty,
    /// Nothing waits, and nothing will be put any more.
    Closed,
}

fn entry<W: Words>(words: &W, ticket: u64) -> &AtomicU64 {
    words.entry(ticket as u32 & (words.shape().ring - 1))
}

/// Whether something could be put now, as far as the ring goes. Exact at one moment of the call.
pub(crate) fn admits<W: Words>(words: &W) -> Result<(), Refused> {
    for _ in 0..TRIES {
        // SYNC POINT T: who finds this ticket also finds the entries before it.
        let tail = words.tail().load(Ordering::Acquire);
        // SYNC POINT E.
        let now = Entry(entry(words, tail).load(Ordering::Acquire));
        match now.age(tail) {
            Age::Same if now.cell() == THE_END => return Err(Refused::Closed),
            Age::Same => advance(words.tail(), tail),
            Age::Newer => {}
            Age::Older => {
                let head = words.head().load(Ordering::Acquire);
                if waiting(head, tail) < u64::from(words.shape().capacity) {
                    return Ok(());
                }
                if !help_head(words, head) {
                    return Err(Refused::Full);
                }
            }
        }
    }
    Err(Refused::Full)
}

/// Puts a cell that this process has filled into the queue. If it is refused, the cell stays this process's.
pub(crate) fn put<W: Words>(words: &W, cell: u32) -> Result<(), Refused> {
    let by = words.members().me();
    for _ in 0..TRIES {
        // SYNC POINT T.
        let tail = words.tail().load(Ordering::Acquire);
        let word = entry(words, tail);
        // SYNC POINT E.
        let now = Entry(word.load(Ordering::Acquire));
        match now.age(tail) {
            Age::Same if now.cell() == THE_END => return Err(Refused::Closed),
            Age::Same => {
                advance(words.tail(), tail);
                continue;
            }
            Age::Newer => continue,
            Age::Older => {}
        }
        let head = words.head().load(Ordering::Acquire);
        if waiting(head, tail) >= u64::from(words.shape().capacity) {
            if help_head(words, head) {
                continue;
            }
            return Err(Refused::Full);
        }
        words.ticket(cell).store(tail, Ordering::Relaxed);
        crash::point();
        // SYNC POINT C: the item, its length and its ticket come before this state.
        words.state(cell).store(State::Filled { by, ticket: ticket_bits(tail) }.word(), Ordering::Release);
        crash::point();
        // SYNC POINT E: the state comes before this entry. From here on the item is in the queue.
        if word.compare_exchange(now.0, Entry::new(tail, cell).0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            crash::point();
            advance(words.tail(), tail);
            return Ok(());
        }
    }
    Err(Refused::Full)
}

/// Takes the first item of the ring: its cell is this process's then.
pub(crate) fn take<W: Words>(words: &W) -> Result<u32, Nothing> {
    let leased = State::Leased { by: words.members().me(), deliveries: 1 }.word();
    for _ in 0..TRIES {
        // SYNC POINT T.
        let head = words.head().load(Ordering::Acquire);
        // SYNC POINT E: the cell's state, as it was when it came into the ring or later.
        let now = Entry(entry(words, head).load(Ordering::Acquire));
        match now.age(head) {
            Age::Older => return Err(Nothing::Empty),
            Age::Same if now.cell() == THE_END => return Err(Nothing::Closed),
            Age::Same => {}
            Age::Newer => continue,
        }
        let cell = now.cell();
        if cell < words.shape().cells {
            let state = words.state(cell).load(Ordering::Relaxed);
            if is_filled(state, head) {
                crash::point();
                // SYNC POINT C: what the producer wrote. SYNC POINT S: and our own reads of it come after nobody else's writes.
                if words.state(cell).compare_exchange(state, leased, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                    continue;
                }
                crash::point();
                advance(words.head(), head);
                return Ok(cell);
            }
        }
        advance(words.head(), head);
    }
    Err(Nothing::Empty)
}

/// Whether a cell that its producer filled under `ticket` came into the ring. The producer is dead, or this is a guess.
pub(crate) fn is_in<W: Words>(words: &W, cell: u32, ticket: u64) -> bool {
    entry(words, ticket).load(Ordering::Acquire) == Entry::new(ticket, cell).0
}

/// Marks the end. `false` if it was marked already.
pub(crate) fn close<W: Words>(words: &W) -> bool {
    for _ in 0..TRIES {
        let tail = words.tail().load(Ordering::Acquire);
        let word = entry(words, tail);
        let now = Entry(word.load(Ordering::Acquire));
        match now.age(tail) {
            Age::Same if now.cell() == THE_END => return false,
            Age::Same => advance(words.tail(), tail),
            Age::Newer => {}
            // The ring has more entries than may wait, so what stood here is taken.
            Age::Older => {
                crash::point();
                let end = Entry::new(tail, THE_END).0;
                if word.compare_exchange(now.0, end, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return true;
                }
            }
        }
    }
    false
}

/// Whether the end is marked.
pub(crate) fn is_closed<W: Words>(words: &W) -> bool {
    let (_, tail) = span(words);
    let now = Entry(entry(words, tail).load(Ordering::Acquire));
    now.age(tail) == Age::Same && now.cell() == THE_END
}

/// The tickets of what waits in the ring: from the first one, up to but without the second. As at one moment of the call.
pub(crate) fn span<W: Words>(words: &W) -> (u64, u64) {
    for _ in 0..TRIES {
        let head = words.head().load(Ordering::Acquire);
        if help_head(words, head) {
            continue;
        }
        let tail = words.tail().load(Ordering::Acquire);
        let now = Entry(entry(words, tail).load(Ordering::Acquire));
        if now.age(tail) == Age::Same && now.cell() != THE_END {
            advance(words.tail(), tail);
            continue;
        }
        // `head` was still the first when `tail` was the end: then both are of one moment. Its cell, too, must not have been
        // taken meanwhile.
        if now.age(tail) != Age::Newer && !help_head(words, head) && words.head().load(Ordering::Acquire) == head {
            return (head, tail.max(head));
        }
    }
    let head = words.head().load(Ordering::Acquire);
    (head, head)
}

/// Moves `head` past an item that was taken. `false` if `ticket` isn't taken yet.
fn help_head<W: Words>(words: &W, ticket: u64) -> bool {
    let now = Entry(entry(words, ticket).load(Ordering::Acquire));
    let taken = match now.age(ticket) {
        Age::Older => false,
        Age::Newer => return true, // `head` has long moved on
        Age::Same if now.cell() == THE_END => false,
        Age::Same if now.cell() >= words.shape().cells => true,
        Age::Same => !is_filled(words.state(now.cell()).load(Ordering::Acquire), ticket),
    };
    if taken {
        advance(words.head(), ticket);
    }
    taken
}

fn is_filled(state: u64, ticket: u64) -> bool {
    matches!(State::of(state), Some(State::Filled { ticket: bits, .. }) if bits == ticket_bits(ticket))
}

fn advance(counter: &AtomicU64, ticket: u64) {
    // SYNC POINT T. It fails if somebody was faster.
    let _ = counter.compare_exchange(ticket, ticket.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed);
}

fn waiting(head: u64, tail: u64) -> u64 {
    u64::try_from(tail.wrapping_sub(head) as i64).unwrap_or(0)
}
