//! The protocol of a condition: a record for each who waits. All but sleeping and a hint is done under the condition's lock,
//! so what is left to think of is deaths.
//!
//! ```text
//! free (owner 0) ──enlist──▶ WAITING ──notify: the longest waiting──▶ NOTIFIED ──delist──▶ free
//!                               │ gives up, or is dead: free            │ dead: another one is notified, then free
//!              a future that is │ dropped                               │ dropped
//!                               ▼                                       ▼
//!                           ABANDONED ──sweep──▶ free                 LOST ──sweep: another one is notified──▶ free
//! ```

use crate::{
    arena::{Members, Owner},
    crash, futex,
    sync::{AtomicU32, AtomicU64, Ordering},
};

const WAITING: u32 = 1;
const NOTIFIED: u32 = 2;
const ABANDONED: u32 = 3;
const LOST: u32 = 4;

/// The shared words. Those of a record mean something while it has an owner.
pub(super) trait Waiters {
    fn count(&self) -> usize;
    fn owner(&self, index: usize) -> &AtomicU32;
    fn state(&self, index: usize) -> &AtomicU32;
    fn ticket(&self, index: usize) -> &AtomicU64;
    /// The ticket that was given last.
    fn last(&self) -> &AtomicU64;
}

/// What is known of one's own record without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Take the lock, and [`delist`].
    Notified,
    /// Somebody was notified and died: take the lock, and [`sweep`].
    Lost,
    /// The lock's owner died, perhaps with a change that somebody was to be notified of: take the lock, and [`delist`].
    Orphaned,
    /// Sleep on one's state while it is this.
    Waiting(u32),
}

/// Takes a record. `None` if all are taken. Under the lock.
pub(super) fn enlist(waiters: &impl Waiters, members: &impl Members) -> Option<usize> {
    sweep(waiters, members);
    let index = (0..waiters.count()).find(|index| holder(waiters, *index).is_none())?;
    let ticket = waiters.last().load(Ordering::Relaxed).wrapping_add(1);
    waiters.last().store(ticket, Ordering::Relaxed);
    crash::point();
    waiters.ticket(index).store(ticket, Ordering::Relaxed);
    waiters.state(index).store(WAITING, Ordering::Relaxed);
    crash::point();
    // With the owner the record begins to be one. Relaxed: the lock orders it.
    waiters.owner(index).store(members.me().word(), Ordering::Relaxed);
    crash::point();
    Some(index)
}

/// Looks, without the lock.
pub(super) fn look(waiters: &impl Waiters, members: &impl Members, lock: &AtomicU32, index: usize) -> Seen {
    let state = waiters.state(index).load(Ordering::Relaxed);
    if state == NOTIFIED {
        Seen::Notified
    } else if Owner::of(lock.load(Ordering::Relaxed)).is_some_and(|owner| members.is_dead(owner)) {
        Seen::Orphaned
    } else if (0..waiters.count()).any(|index| is_lost(waiters, members, index)) {
        Seen::Lost
    } else {
        Seen::Waiting(state)
    }
}

/// Gives the record back, and says whether it was notified. Under the lock.
pub(super) fn delist(waiters: &impl Waiters, index: usize) -> bool {
    let notified = waiters.state(index).load(Ordering::Relaxed) == NOTIFIED;
    crash::point();
    waiters.owner(index).store(0, Ordering::Relaxed);
    crash::point();
    notified
}

/// Gives the record up without the lock, for a future that is dropped: whoever sweeps frees it.
#[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models wait in threads"))]
pub(super) fn abandon(waiters: &impl Waiters, index: usize) {
    let swap = |from, to| waiters.state(index).compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok();
    let _ = swap(WAITING, ABANDONED) || swap(NOTIFIED, LOST);
}

/// Notifies up to `count` of those who wait, longest first; says how many. Under the lock.
pub(super) fn notify(waiters: &impl Waiters, members: &impl Members, count: usize) -> usize {
    sweep(waiters, members);
    (0..count).take_while(|_| notify_one(waiters, members)).count()
}

/// Frees the records of the dead, and passes on what they were notified of. Under the lock.
pub(super) fn sweep(waiters: &impl Waiters, members: &impl Members) {
    for index in 0..waiters.count() {
        let Some(owner) = holder(waiters, index) else { continue };
        let state = waiters.state(index).load(Ordering::Relaxed);
        let given_up = state == ABANDONED || state == LOST;
        if !given_up && !members.is_dead(owner) {
            continue;
        }
        // First passed on, then freed: who dies in between has another one notified too many, not too few.
        if state == NOTIFIED || state == LOST {
            notify_one(waiters, members);
        }
        crash::point();
        waiters.owner(index).store(0, Ordering::Relaxed);
        crash::point();
    }
}

fn notify_one(waiters: &impl Waiters, members: &impl Members) -> bool {
    let waits = |index: &usize| {
        let lives = holder(waiters, *index).is_some_and(|owner| !members.is_dead(owner));
        lives && waiters.state(*index).load(Ordering::Relaxed) == WAITING
    };
    let ticket = |index: &usize| waiters.ticket(*index).load(Ordering::Relaxed);
    // Each turn one of them is notified, or is found to have been abandoned.
    for _ in 0..waiters.count() {
        let Some(index) = (0..waiters.count()).filter(waits).min_by_key(ticket) else { return false };
        crash::point();
        let state = waiters.state(index);
        if state.compare_exchange(WAITING, NOTIFIED, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            crash::point();
            // Who dies before this has the other wait one slice longer.
            futex::wake(state, futex::ALL);
            return true;
        }
    }
    false
}

/// How many wait and haven't been notified. Under the lock.
#[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models know it"))]
pub(super) fn waiting(waiters: &impl Waiters, members: &impl Members) -> usize {
    let lives = |index: &usize| holder(waiters, *index).is_some_and(|owner| !members.is_dead(owner));
    let waits = |index: &usize| waiters.state(*index).load(Ordering::Relaxed) == WAITING;
    (0..waiters.count()).filter(|index| waits(index) && lives(index)).count()
}

fn holder(waiters: &impl Waiters, index: usize) -> Option<Owner> {
    Owner::of(waiters.owner(index).load(Ordering::Relaxed))
}

fn is_lost(waiters: &impl Waiters, members: &impl Members, index: usize) -> bool {
    match waiters.state(index).load(Ordering::Relaxed) {
        LOST => holder(waiters, index).is_some(),
        NOTIFIED => holder(waiters, index).is_some_and(|owner| members.is_dead(owner)),
        _ => false,
    }
}
