//! Who takes part, and what becomes of what the dead had.

use super::{blocks, cells, ring, slots, state::State, wait, words::Words};
use crate::{
    arena::{Members, Owner},
    crash,
    sync::Ordering,
};

/// Enters this process among those whose deaths are looked after. Before it puts or takes anything. `false` if there is no
/// room, which a queue that has one for each member of its arena always has.
pub(crate) fn enter<W: Words>(words: &W) -> bool {
    let me = words.members().me();
    let most = words.shape().members;
    let used = words.members_used().load(Ordering::Acquire).min(most);
    if (0..used).any(|index| words.member(index).load(Ordering::Relaxed) == me.word()) {
        return true;
    }
    for index in 0..most {
        let member = words.member(index);
        if let Some(other) = Owner::of(member.load(Ordering::Acquire)) {
            if !words.members().is_dead(other) {
                continue;
            }
            sweep_one(words, index, other);
        }
        // Before it is entered, so that everybody looks so far.
        words.members_used().fetch_max(index + 1, Ordering::AcqRel);
        crash::point();
        // SYNC POINT G: what a predecessor had was returned before.
        if member.compare_exchange(0, me.word(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            crash::point();
            return true;
        }
    }
    false
}

/// Looks after the dead: what they had leased comes back, and what they were filling is free again. Costs a load or two for
/// each member while all live.
pub(crate) fn sweep<W: Words>(words: &W) {
    let used = words.members_used().load(Ordering::Acquire).min(words.shape().members);
    for index in 0..used {
        // SYNC POINT G.
        let member = Owner::of(words.member(index).load(Ordering::Acquire));
        if let Some(dead) = member.filter(|member| words.members().is_dead(*member)) {
            sweep_one(words, index, dead);
        }
    }
}

/// Those who take part.
pub(super) fn entered<W: Words>(words: &W) -> impl Iterator<Item = Owner> {
    let used = words.members_used().load(Ordering::Relaxed).min(words.shape().members);
    (0..used).filter_map(|index| Owner::of(words.member(index).load(Ordering::Relaxed)))
}

/// Several may do this at once, and any of them may die in it: each step is one of a compare-and-swap that succeeds once, and
/// the member stays entered until all are done.
#[cold]
fn sweep_one<W: Words>(words: &W, index: u32, dead: Owner) {
    for cell in 0..words.shape().cells {
        sweep_cell(words, cell, dead);
    }
    // Also what it gave back itself, and then died before it counted. SYNC POINT R.
    words.returns().fetch_add(1, Ordering::Release);
    crash::point();
    for bell in [words.items(), words.room(), words.blocks(), words.settled()] {
        // Whatever it was about to ring.
        wait::ring(bell, true);
    }
    crash::point();
    let _ = words.member(index).compare_exchange(dead.word(), 0, Ordering::AcqRel, Ordering::Relaxed);
}

fn sweep_cell<W: Words>(words: &W, cell: u32, dead: Owner) {
    let state = words.state(cell);
    let word = state.load(Ordering::Acquire);
    let next = match State::of(word) {
        Some(State::Filling(by) | State::Settling(by)) if by == dead => State::Settling(words.members().me()),
        Some(State::Filled { by, .. }) if by == dead => {
            let ticket = words.ticket(cell).load(Ordering::Relaxed);
            if ring::is_in(words, cell, ticket) {
                return; // it was put, and waits
            }
            State::Settling(words.members().me())
        }
        Some(State::Leased { by, deliveries }) if by == dead => cells::after(words, deliveries),
        _ => return,
    };
    crash::point();
    // SYNC POINT S, C: what the dead did to it comes before what is done now.
    let ours = state.compare_exchange(word, next.word(), Ordering::AcqRel, Ordering::Relaxed).is_ok();
    if ours && matches!(next, State::Settling(_)) {
        crash::point();
        // It is ours alone now.
        blocks::free_all(words, cell);
        slots::free_all(words, cell);
        crash::point();
        state.store(State::Free.word(), Ordering::Release);
    }
}
