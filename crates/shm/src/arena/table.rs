//! The member table: who lives.
//!
//! A record is `{alive: u32, generation: u32}` in one 64-bit word, and `{pid: u32, namespace: u32}` in another. Its life:
//!
//! ```text
//! free (0) ──claim──▶ alive: heart's thread id | WAITERS
//!    ▲                     │ the kernel, at death                       │ leave
//!    │                     ▼                                            ▼
//!    └ ─ ─ ─ ─ ─  DIED | WAITERS ──confirm: its last thread stopped──▶ DIED ──claim, next generation──▶ alive
//! ```
//!
//! A claim is one compare-and-swap of generation and state together, so joining needs no lock, and a death anywhere in it
//! leaves a record that is either as it was or a dead member's. All accesses here are 64 bits wide; the kernel's are to
//! the half that is `alive`.

use std::time::{Duration, Instant};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    process::{Pid, PidfdFlags, getpid, pidfd_open},
    time::Timespec,
};

use super::{
    Owner,
    layout::{MAX_MEMBERS, NEXT_MEMBER_AT, RECORD_BYTES, TABLE_AT},
};
use crate::{
    crash, futex,
    memory::Mapping,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// The kernel's bits of a robust futex (`FUTEX_OWNER_DIED`, `FUTEX_WAITERS`).
const DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;

/// How long the threads of a dead process may go on, at most: its heart stops first, and another of its threads may just be
/// inside the kernel, copying into shared memory. A processor does that for microseconds.
const GRACE: Duration = Duration::from_millis(20);

/// The half of a 64-bit word that is at its lower address, where `alive` stands.
const ALIVE_AT: usize = if cfg!(target_endian = "little") { 0 } else { 4 };

/// A record, as it is at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    alive: u32,
    generation: u32,
}

impl State {
    fn of(word: u64) -> Self {
        Self { alive: word as u32, generation: (word >> 32) as u32 }
    }

    fn word(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.alive)
    }

    fn is_of(self, owner: Owner) -> bool {
        self.generation as u16 == owner.generation()
    }

    /// Free, or dead and confirmed: a newcomer may have it.
    fn is_vacant(self) -> bool {
        self.alive == 0 || self.alive == DIED
    }

    /// Dead, and perhaps not yet quite.
    fn is_dying(self) -> bool {
        self.alive & DIED != 0 && self.alive != DIED
    }
}

/// The offset of the futex word by which a member's death is told.
pub(super) fn alive_at(slot: u16) -> usize {
    record_at(slot) + ALIVE_AT
}

fn record_at(slot: u16) -> usize {
    TABLE_AT + usize::from(slot) * RECORD_BYTES
}

fn state(memory: &Mapping, slot: u16) -> &AtomicU64 {
    memory.word64(record_at(slot))
}

/// The futex word of a member. Nobody loads it by this: it is an address for the kernel.
pub(super) fn alive(memory: &Mapping, slot: u16) -> &AtomicU32 {
    memory.word32(alive_at(slot))
}

/// Finds vacant records one by one, for `attempt` to claim; it gets the slot, and does [`claim`]. `None` if there are none.
pub(super) fn for_each_vacant<T>(memory: &Mapping, mut attempt: impl FnMut(u16) -> Option<T>) -> Option<T> {
    // Each joiner begins elsewhere, so that a record's generations come round as late as possible.
    let first = memory.word32(NEXT_MEMBER_AT).fetch_add(1, Ordering::Relaxed);
    let slots = || (0..u32::from(MAX_MEMBERS)).map(|turn| (first.wrapping_add(turn) % u32::from(MAX_MEMBERS)) as u16);
    let seen = |slot| State::of(state(memory, slot).load(Ordering::Acquire));
    let found = slots().filter(|slot| seen(*slot).is_vacant()).find_map(&mut attempt);
    // Only if there is no other: to make sure of a death may take a while.
    found.or_else(|| {
        slots().find_map(|slot| {
            let dying = Some(seen(slot)).filter(|state| state.is_dying())?;
            confirm(memory, slot, dying);
            attempt(slot)
        })
    })
}

/// Takes a vacant record for this process, whose heart is the thread `heart`.
pub(super) fn claim(memory: &Mapping, slot: u16, heart: u32, namespace: u32) -> Option<Owner> {
    let word = state(memory, slot);
    let before = State::of(word.load(Ordering::Acquire));
    if !before.is_vacant() {
        return None;
    }
    let mut generation = before.generation.wrapping_add(1);
    if generation as u16 == 0 {
        generation = generation.wrapping_add(1); // 0 is nobody's
    }
    let owner = Owner::new(slot, generation as u16)?;
    let claimed = State { alive: heart | WAITERS, generation };
    crash::point();
    // SYNC POINT M: what a predecessor's death was confirmed by comes before what the new member does.
    word.compare_exchange(before.word(), claimed.word(), Ordering::AcqRel, Ordering::Relaxed).ok()?;
    crash::point();
    // Died before this, its predecessor's process id stands there. That is no harm: it holds nothing yet.
    let pid = getpid().as_raw_nonzero().get().cast_unsigned();
    memory.word64(record_at(slot) + 8).store(u64::from(namespace) << 32 | u64::from(pid), Ordering::Release);
    crash::point();
    Some(owner)
}

/// Ends a membership of this process's own, as its death would, but confirmed: none of its threads uses the arena any more.
pub(super) fn leave(memory: &Mapping, owner: Owner) {
    let word = state(memory, owner.slot());
    let before = State::of(word.load(Ordering::Acquire));
    let dead = State { alive: DIED, ..before };
    crash::point();
    if before.is_of(owner)
        && word.compare_exchange(before.word(), dead.word(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    {
        crash::point();
        futex::wake(alive(memory, owner.slot()), futex::ALL);
    }
}

/// Whether a member is dead, and certainly so: the first who sees it makes sure.
pub(super) fn is_dead(memory: &Mapping, owner: Owner) -> bool {
    if owner.slot() >= MAX_MEMBERS {
        return true; // an allegation that names no member
    }
    // SYNC POINT M: what the dead did comes before what is done about it.
    let seen = State::of(state(memory, owner.slot()).load(Ordering::Acquire));
    if !seen.is_of(owner) || seen.is_vacant() {
        return true;
    }
    if seen.is_dying() {
        confirm(memory, owner.slot(), seen);
        return true;
    }
    false
}

/// What to sleep on for news of a member's death; `None` if it is dead, or about to be.
pub(super) fn watch(memory: &Mapping, owner: Owner) -> Option<(&AtomicU32, u32)> {
    if owner.slot() >= MAX_MEMBERS {
        return None;
    }
    let seen = State::of(state(memory, owner.slot()).load(Ordering::Acquire));
    let lives = seen.is_of(owner) && !seen.is_vacant() && !seen.is_dying();
    lives.then(|| (alive(memory, owner.slot()), seen.alive))
}

#[cfg(all(test, feature = "crash-points"))]
pub(super) fn watches(arena: &super::Arena, slot: u16) -> bool {
    let seen = State::of(state(arena.mapping(), slot).load(Ordering::Acquire));
    !seen.is_vacant() && !seen.is_dying()
}

/// Waits until the last thread of a dead process has stopped, and says so to everybody.
fn confirm(memory: &Mapping, slot: u16, seen: State) {
    let who = memory.word64(record_at(slot) + 8).load(Ordering::Acquire);
    wait_until_gone(who as u32, (who >> 32) as u32);
    crash::point();
    let dead = State { alive: DIED, ..seen };
    if state(memory, slot).compare_exchange(seen.word(), dead.word(), Ordering::AcqRel, Ordering::Relaxed).is_ok() {
        crash::point();
        // The kernel woke one, which may be stopped or dead: here are the others. (Who dies before this leaves them to
        // their slices.)
        futex::wake(alive(memory, slot), futex::ALL);
    }
}

fn wait_until_gone(pid: u32, namespace: u32) {
    let known = namespace != 0 && namespace == own_namespace();
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| known);
    let process = match pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Err(Errno::SRCH)) => return,
        Some(Ok(process)) => Some(process),
        _ => None,
    };
    let end = Instant::now() + GRACE;
    loop {
        // A process that has called exec, or a newcomer with the same number, doesn't end: then the grace is all.
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        let mut ends: Vec<PollFd<'_>> = process.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        if poll(&mut ends, Some(&left)) != Err(Errno::INTR) {
            return;
        }
    }
}

/// Tells process id namespaces apart: a process id means something only in its own. 0 where it can't be told.
pub(super) fn own_namespace() -> u32 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino as u32)
}
