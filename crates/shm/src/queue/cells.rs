//! The cells: whose each one is, and what becomes of an item that is acknowledged, or comes back.
//!
//! ```text
//!          claim             fill              put, take             settle
//! Free ───────────▶ Filling ─────▶ Filled ─────────────▶ Leased ──────────────▶ Free
//!                      │             │                    │   ▲                  ▲
//!                      │ refused     │ refused   give back│   │ take_returned    │
//!                      ▼             ▼                    ▼   │                  │
//!                   Settling ◀───────┘                   Returned                │
//!                      │                                  │                      │
//!                      │ its blocks and slot        Dead ◀┘ too often            │
//!                      └─ are free ──────────────────────────────────────────────┘
//! ```
//!
//! A cell in `Filling`, `Filled` but not in the ring, `Leased` or `Settling` is of one process. While that lives, nobody else
//! changes the cell, so it needs no compare-and-swap itself. When it is dead, whoever comes ([`sweep`](super::members)) takes the
//! cell over by one.

use super::{
    blocks,
    ring::{self, Nothing},
    slots,
    state::State,
    wait,
    words::Words,
};
use crate::{arena::Members, crash, sync::Ordering};

/// Takes a free cell for this process.
pub(crate) fn claim<W: Words>(words: &W) -> Option<u32> {
    let cells = words.shape().cells;
    let filling = State::Filling(words.members().me()).word();
    let mut cell = words.cell_cursor().load(Ordering::Relaxed);
    for _ in 0..cells {
        if cell >= cells {
            cell = 0;
        }
        let state = words.state(cell);
        if state.load(Ordering::Relaxed) == State::Free.word() {
            crash::point();
            // SYNC POINT S: the last one's reads come before our writes.
            if state.compare_exchange(State::Free.word(), filling, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                words.cell_cursor().store(cell + 1, Ordering::Relaxed);
                return Some(cell);
            }
        }
        cell += 1;
    }
    None
}

/// Whether there is a free cell.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) fn any_free<W: Words>(words: &W) -> bool {
    (0..words.shape().cells).any(|cell| words.state(cell).load(Ordering::Relaxed) == State::Free.word())
}

/// What this process took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub cell: u32,
    /// How often it was delivered, with this time.
    pub deliveries: u32,
}

/// Takes the next item: what came back comes first.
pub(crate) fn take<W: Words>(words: &W) -> Result<Taken, Nothing> {
    if let Some(taken) = take_returned(words) {
        return Ok(taken);
    }
    ring::take(words).map(|cell| Taken { cell, deliveries: 1 })
}

/// Of the items that came back, takes the oldest.
fn take_returned<W: Words>(words: &W) -> Option<Taken> {
    // SYNC POINT R: what came back before this count is found by the look that follows.
    let returns = words.returns().load(Ordering::Acquire);
    if returns == words.returns_seen().load(Ordering::Relaxed) {
        return None;
    }
    let by = words.members().me();
    for _ in 0..=words.shape().cells {
        let returned = |cell| match State::of(words.state(cell).load(Ordering::Acquire)) {
            Some(State::Returned { deliveries }) => {
                Some((words.ticket(cell).load(Ordering::Relaxed), cell, deliveries))
            }
            _ => None,
        };
        let Some((_, cell, before)) = (0..words.shape().cells).filter_map(returned).min() else {
            crash::point();
            // If more has come back meanwhile, `returns` is more than this, and the next one looks again.
            words.returns_seen().store(returns, Ordering::Relaxed);
            return None;
        };
        let deliveries = before.saturating_add(1);
        let (is, leased) = (State::Returned { deliveries: before }.word(), State::Leased { by, deliveries }.word());
        crash::point();
        // SYNC POINT C, by way of whoever returned it.
        if words.state(cell).compare_exchange(is, leased, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Some(Taken { cell, deliveries });
        }
    }
    None // others were faster each time
}

/// Gives a cell of this process's back, empty: its item is acknowledged, or was refused.
pub(crate) fn settle<W: Words>(words: &W, cell: u32) {
    let holds_more = words.first_block(cell).load(Ordering::Relaxed) | words.slot(cell).load(Ordering::Relaxed) != 0;
    if holds_more {
        // From here on it is acknowledged, whatever becomes of us, its blocks and its descriptors.
        words.state(cell).store(State::Settling(words.members().me()).word(), Ordering::Release);
        crash::point();
        blocks::free_chain(words, cell);
        slots::free(words, cell);
        crash::point();
    }
    // SYNC POINT S: our reads come before the next one's writes. A swap, though nobody else changes it, for `ring`.
    words.state(cell).swap(State::Free.word(), Ordering::AcqRel);
    crash::point();
    wait::ring(words.room(), false);
    wait::ring(words.settled(), true);
    if holds_more {
        wait::ring(words.blocks(), true);
    }
}

/// What becomes of an item that was delivered so often, and not acknowledged.
pub(super) fn after<W: Words>(words: &W, deliveries: u32) -> State {
    let shape = words.shape();
    let too_often = shape.max_deliveries != 0 && deliveries >= shape.max_deliveries;
    if too_often && count(words, |state| matches!(state, State::Dead { .. })) < shape.dead_letters {
        State::Dead { deliveries }
    } else {
        State::Returned { deliveries }
    }
}

/// Gives an item of this process's back unacknowledged.
pub(crate) fn give_back<W: Words>(words: &W, taken: Taken) {
    let next = after(words, taken.deliveries);
    // SYNC POINT C: what the next one reads is what we were handed.
    words.state(taken.cell).swap(next.word(), Ordering::AcqRel);
    crash::point();
    if matches!(next, State::Dead { .. }) {
        wait::ring(words.settled(), true);
    } else {
        // SYNC POINT R. Who dies before this is swept, which counts too.
        words.returns().fetch_add(1, Ordering::Release);
        crash::point();
        wait::ring(words.items(), false);
    }
}

/// Whether something came back and waits.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) fn any_returned<W: Words>(words: &W) -> bool {
    words.returns().load(Ordering::Acquire) != words.returns_seen().load(Ordering::Relaxed)
        && count(words, |state| matches!(state, State::Returned { .. })) > 0
}

/// Takes the oldest dead letter.
#[cfg(not(all(test, feature = "loom")))]
pub(crate) fn take_dead<W: Words>(words: &W) -> Option<Taken> {
    let by = words.members().me();
    for _ in 0..=words.shape().cells {
        let dead = |cell| match State::of(words.state(cell).load(Ordering::Acquire)) {
            Some(State::Dead { deliveries }) => Some((words.ticket(cell).load(Ordering::Relaxed), cell, deliveries)),
            _ => None,
        };
        let (_, cell, deliveries) = (0..words.shape().cells).filter_map(dead).min()?;
        let (is, leased) = (State::Dead { deliveries }.word(), State::Leased { by, deliveries }.word());
        crash::point();
        // Who dies with it makes a dead letter of it again.
        if words.state(cell).compare_exchange(is, leased, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return Some(Taken { cell, deliveries });
        }
    }
    None // others were faster each time
}

/// How many cells are in such a state.
pub(crate) fn count<W: Words>(words: &W, is: impl Fn(State) -> bool) -> u32 {
    let states = (0..words.shape().cells).filter_map(|cell| State::of(words.state(cell).load(Ordering::Acquire)));
    states.filter(|state| is(*state)).count() as u32
}

/// Whether an item that was put before `ticket` is in this cell, and not acknowledged.
pub(crate) fn is_unfinished<W: Words>(words: &W, cell: u32, ticket: u64) -> bool {
    // SYNC POINT C: the ticket under which it was filled, or a later one.
    let state = words.state(cell).load(Ordering::Acquire);
    let filled_under = words.ticket(cell).load(Ordering::Relaxed);
    let before = (filled_under.wrapping_sub(ticket) as i64) < 0;
    match State::of(state) {
        Some(State::Filled { .. }) => before && ring::is_in(words, cell, filled_under),
        Some(State::Leased { .. } | State::Returned { .. }) => before,
        _ => false,
    }
}
