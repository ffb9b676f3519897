//! The protocol of a barrier. Rounds are counted; who arrives signs with the round and its name, so a new round begins by one
//! store, and nothing has to be cleared for it.
//!
//! ```text
//! filling (round r) ──the last one arrives──▶ filling (round r + 1), r went well
//!    │ an arrived one dies or gives up, or abort                     ▲
//!    ▼                                                               │ reset
//! broken (round r + 1), r didn't go well ────────────────────────────┘
//! ```
//!
//! All but sleeping is done under the barrier's own lock ([`mutex`](super::mutex)), whose owner may die at any step. Each
//! transition commits with one store; what stands before it is written anew by the next who tries.

use crate::{
    arena::{Members, Owner},
    crash, futex,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// For how many rounds it is remembered how they went. Who was stopped for longer is told that the barrier broke.
pub(super) const REMEMBERED: u32 = 4096;

/// The shared words.
pub(super) trait Rounds {
    /// The round that is filling: what sleepers sleep on.
    fn round(&self) -> &AtomicU32;
    /// 1 while the barrier is broken.
    fn broken(&self) -> &AtomicU32;
    /// 32 rounds a word, a bit each: 1 if it didn't go well.
    fn failed(&self, word: usize) -> &AtomicU32;
    /// `round << 32 | owner`.
    fn arrival(&self, index: usize) -> &AtomicU64;
    fn parties(&self) -> usize;
}

/// What an arrival has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// As the last one: the round is over.
    Last,
    /// To wait for others: sleep on [`Rounds::round`] while it is this round.
    Waits(u32),
    /// At a broken barrier.
    Broken,
}

/// What is known of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    Over,
    Broken,
    /// Somebody who had arrived is dead: [`end`] it.
    Lost,
    Filling,
}

/// Arrives; says as which one. Under the lock.
pub(super) fn arrive(rounds: &impl Rounds, members: &impl Members) -> (usize, Arrived) {
    if rounds.broken().load(Ordering::Relaxed) != 0 {
        return (0, Arrived::Broken);
    }
    let round = rounds.round().load(Ordering::Relaxed);
    if has_dead(rounds, members, round) {
        end(rounds, round, false);
        return (0, Arrived::Broken);
    }
    let index = waiting(rounds);
    if index + 1 >= rounds.parties() {
        end(rounds, round, true);
        return (index, Arrived::Last);
    }
    crash::point();
    let signature = u64::from(round) << 32 | u64::from(members.me().word());
    rounds.arrival(index).store(signature, Ordering::Release);
    crash::point();
    (index, Arrived::Waits(round))
}

/// How many wait in the current round. Under the lock, or as a guess.
pub(super) fn waiting(rounds: &impl Rounds) -> usize {
    let round = rounds.round().load(Ordering::Relaxed);
    (0..rounds.parties()).filter(|index| arrived_in(rounds, *index, round).is_some()).count()
}

/// Looks at a round, without the lock.
pub(super) fn look(rounds: &impl Rounds, members: &impl Members, round: u32) -> Round {
    // SYNC POINT B: what others did before they arrived comes before what is done after.
    let now = rounds.round().load(Ordering::Acquire);
    let ago = now.wrapping_sub(round);
    if ago == 0 {
        return if rounds.broken().load(Ordering::Relaxed) != 0 {
            Round::Broken // by one who died before it could end the round
        } else if has_dead(rounds, members, round) {
            Round::Lost
        } else {
            Round::Filling
        };
    }
    let (word, bit) = place(round);
    if ago >= REMEMBERED || rounds.failed(word).load(Ordering::Relaxed) & bit != 0 {
        Round::Broken
    } else {
        Round::Over
    }
}

/// Ends a round, if it is still the current one, and breaks the barrier if it didn't go well. Under the lock.
pub(super) fn end(rounds: &impl Rounds, round: u32, well: bool) -> bool {
    if rounds.round().load(Ordering::Relaxed) != round {
        return false;
    }
    crash::point();
    let (word, bit) = place(round);
    if well {
        rounds.failed(word).fetch_and(!bit, Ordering::Relaxed);
    } else {
        rounds.failed(word).fetch_or(bit, Ordering::Relaxed);
        crash::point();
        rounds.broken().store(1, Ordering::Relaxed);
    }
    crash::point();
    // SYNC POINT B. With this it is over.
    rounds.round().store(round.wrapping_add(1), Ordering::Release);
    crash::point();
    futex::wake(rounds.round(), futex::ALL);
    true
}

/// Begins anew; who waits is told that it broke. Under the lock.
pub(super) fn reset(rounds: &impl Rounds) {
    if waiting(rounds) > 0 {
        end(rounds, rounds.round().load(Ordering::Relaxed), false);
    }
    crash::point();
    rounds.broken().store(0, Ordering::Relaxed);
}

fn has_dead(rounds: &impl Rounds, members: &impl Members, round: u32) -> bool {
    (0..rounds.parties()).any(|index| arrived_in(rounds, index, round).is_some_and(|owner| members.is_dead(owner)))
}

fn arrived_in(rounds: &impl Rounds, index: usize, round: u32) -> Option<Owner> {
    let signature = rounds.arrival(index).load(Ordering::Acquire);
    Owner::of(signature as u32).filter(|_| (signature >> 32) as u32 == round)
}

fn place(round: u32) -> (usize, u32) {
    let bit = round % REMEMBERED;
    (bit as usize / 32, 1 << (bit % 32))
}
