//! The protocol of a lock with many readers or one writer: the writer's word is a [`mutex`](super::mutex), and each member has
//! a record of its own, `[count: 16][generation: 16]`, of how often it reads.
//!
//! A reader counts itself and then looks at the writer's word; a writer takes the word and then looks at the records: of
//! two such store-fence-load halves at least one sees the other (SYNC POINT W). A reader that sees a writer steps back and
//! sleeps on the word; a writer sleeps on the record of a reader, and for its life. Since readers step back for a writer
//! that only waits, none is kept from writing for ever. A dead reader's record has a dead generation: it counts nothing.
//!
//! What readers read comes before what the next writer writes: SYNC POINT Q. What a writer wrote comes before what readers
//! read: SYNC POINT L.

use std::time::Instant;

use super::mutex::{self, Blocked, INCONSISTENT, Taken};
use crate::{
    arena::{Members, Owner},
    crash,
    futex::{self, Outcome},
    sync::{AtomicU32, Ordering, fence},
};

/// The shared words.
pub(super) trait Shared {
    fn word(&self) -> &AtomicU32;
    fn record(&self, slot: u16) -> &AtomicU32;
    fn slots(&self) -> u16;
}

/// Why a reader didn't get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// There is a writer: sleep on its word.
    Writer(Blocked),
    /// This process reads 65,535 times already.
    Crowded,
}

/// Begins to read, unless somebody writes or waits for that.
pub(super) fn try_read(shared: &impl Shared, members: &impl Members) -> Result<Taken, Refused> {
    let me = members.me();
    let record = shared.record(me.slot());
    loop {
        count(record, me, 1).map_err(|()| Refused::Crowded)?;
        crash::point();
        // SYNC POINT W: the count, the fence, then the look.
        fence(Ordering::SeqCst);
        // SYNC POINT L.
        let now = shared.word().load(Ordering::Acquire);
        let Some(writer) = Owner::of(now) else {
            return Ok(if now & INCONSISTENT == 0 { Taken::Clean } else { Taken::Inconsistent });
        };
        end_read(shared, me);
        if !members.is_dead(writer) {
            return Err(Refused::Writer(Blocked { expected: now, owner: writer }));
        }
        // It died writing. Nobody has the word then, but what it left is told to whoever comes.
        crash::point();
        let freed = shared.word().compare_exchange(now, INCONSISTENT, Ordering::AcqRel, Ordering::Relaxed);
        crash::point();
        if freed.is_ok() {
            futex::wake(shared.word(), futex::ALL);
        }
    }
}

/// Begins to read, and waits until `until`.
pub(super) fn read(
    shared: &impl Shared,
    members: &impl Members,
    until: Option<Instant>,
) -> Result<Option<Taken>, Refused> {
    loop {
        let blocked = match try_read(shared, members) {
            Ok(taken) => return Ok(Some(taken)),
            Err(Refused::Writer(blocked)) => blocked,
            Err(refused) => return Err(refused),
        };
        let (now, expected) = (blocked.expected, blocked.expected | mutex::WAITERS);
        let announced = now == expected
            || shared.word().compare_exchange(now, expected, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        crash::point();
        if announced && members.wait_for_owner(shared.word(), expected, blocked.owner, until) == Outcome::TimedOut {
            return try_read(shared, members).map(Some).or_else(|refused| match refused {
                Refused::Writer(_) => Ok(None),
                Refused::Crowded => Err(refused),
            });
        }
    }
}

/// Ends reading. `false` if this process doesn't read.
pub(super) fn end_read(shared: &impl Shared, me: Owner) -> bool {
    let record = shared.record(me.slot());
    crash::point();
    if count(record, me, -1).is_err() {
        return false;
    }
    crash::point();
    // SYNC POINT W: the count, the fence, then the look whether a writer waits for it.
    fence(Ordering::SeqCst);
    if Owner::of(shared.word().load(Ordering::Relaxed)).is_some() {
        futex::wake(record, futex::ALL);
    }
    true
}

/// Takes the lock for writing, and waits until `until`.
pub(super) fn write(shared: &impl Shared, members: &impl Members, until: Option<Instant>) -> Option<Taken> {
    let taken = mutex::lock(shared.word(), members, until)?;
    let mut done = false;
    // SYNC POINT W: the word, the fence, then the look.
    fence(Ordering::SeqCst);
    for slot in 0..shared.slots() {
        while let Some((reader, now)) = reads(shared, members, slot) {
            if done {
                end_write(shared, members.me());
                return None;
            }
            crash::point();
            done = members.wait_for_owner(shared.record(slot), now, reader, until) == Outcome::TimedOut;
        }
    }
    Some(taken)
}

/// Takes the lock for writing if nobody reads or writes.
#[cfg(not(all(test, feature = "loom")))]
pub(super) fn try_write(shared: &impl Shared, members: &impl Members) -> Option<Taken> {
    let taken = mutex::try_take(shared.word(), members).ok()?;
    // SYNC POINT W.
    fence(Ordering::SeqCst);
    if (0..shared.slots()).any(|slot| reads(shared, members, slot).is_some()) {
        end_write(shared, members.me());
        return None;
    }
    Some(taken)
}

/// Ends writing. Readers and writers sleep on one word, so all are woken.
pub(super) fn end_write(shared: &impl Shared, me: Owner) -> bool {
    mutex::unlock(shared.word(), me, futex::ALL)
}

/// Who reads in `slot`, if anybody living, and what its record holds.
fn reads(shared: &impl Shared, members: &impl Members, slot: u16) -> Option<(Owner, u32)> {
    // SYNC POINT Q.
    let now = shared.record(slot).load(Ordering::Acquire);
    let reader = Owner::new(slot, now as u16).filter(|_| now >> 16 != 0)?;
    (!members.is_dead(reader)).then_some((reader, now))
}

/// Adds to one's count. An earlier member's count in this slot counts nothing.
fn count(record: &AtomicU32, me: Owner, more: i32) -> Result<(), ()> {
    let mut now = record.load(Ordering::Relaxed);
    loop {
        let before = if now as u16 == me.generation() { now >> 16 } else { 0 };
        let after = before.checked_add_signed(more).filter(|count| *count <= u32::from(u16::MAX)).ok_or(())?;
        // SYNC POINT Q.
        let counted = after << 16 | u32::from(me.generation());
        match record.compare_exchange(now, counted, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return Ok(()),
            Err(other) => now = other,
        }
    }
}
