//! Locks, of which those who hold them or wait for them die.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shm::{
    arena::Arena,
    lock::{Array, Guard, Lock, LockError, RwLock, Semaphore},
    status::{Number, StatusPage},
    wire::Passed,
};

use crate::{
    Outcome, STALL, Tally,
    chance::Chance,
    child::{Other, Role},
    crowd::Crowd,
    wait::block_on,
};

const HAMMERS: usize = 4;

/// Two numbers that are equal whenever nobody is changing them.
type Pair = [u64; 2];

/// What they all use.
#[derive(Serialize, Deserialize)]
struct Shared {
    pair: Lock<Pair>,
    many: RwLock<Pair>,
    /// Two.
    permits: Semaphore,
    /// Who has a permit takes one of these two: there is always one, unless more are inside than may be.
    inside: [Lock<Pair>; 2],
    /// Changed while other locks are held, so that many steps lie between the two halves of a change.
    notes: Array<u64>,
}

/// A hammer's part.
#[derive(Serialize, Deserialize)]
pub struct Hammering {
    shared: Shared,
    page: Passed,
    seed: u64,
}

/// On the common page: how often each pair was changed, by those who lived to tell.
const CHANGED: [Number; 2] = [Number::FramesIn, Number::FramesOut];

impl Shared {
    fn create(arena: &Arena) -> Outcome<Self> {
        Ok(Self {
            pair: Lock::create(arena, [0; 2])?,
            many: RwLock::create(arena, [0; 2])?,
            permits: Semaphore::create_bounded(arena, 2)?,
            inside: [Lock::create(arena, [0; 2])?, Lock::create(arena, [0; 2])?],
            notes: Array::create(arena, 4, 0)?,
        })
    }

    /// Adds one to both, with something else in between.
    fn change(&self, pair: &mut Pair, chance: &mut Chance) -> Outcome {
        pair[0] += 1;
        match chance.below(8) {
            0 => self.note(chance.below(4) as usize)?,
            1 => std::thread::yield_now(),
            _ => {}
        }
        pair[1] += 1;
        Ok(())
    }

    fn note(&self, index: usize) -> Outcome {
        match self.notes.set(index, 1) {
            Ok(()) | Err(LockError::OwnerDied(())) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn change_pair(&self, chance: &mut Chance) -> Outcome {
        let locked =
            if chance.once_in(8) { block_on(self.pair.lock_async_for(STALL)) } else { self.pair.lock_for(STALL) };
        let mut guard = in_order("pair", locked)?;
        self.change(&mut guard, chance)
    }

    fn change_many(&self, chance: &mut Chance) -> Outcome {
        let mut guard = match self.many.write_for(STALL) {
            Ok(guard) => checked("pair of a writer", guard, |guard| **guard)?,
            Err(LockError::OwnerDied(mut guard)) => {
                repair("pair of a writer", &mut guard)?;
                guard.mark_consistent();
                guard
            }
            Err(error) => return Err(format!("write: {error}").into()),
        };
        self.change(&mut guard, chance)
    }

    fn read_many(&self, chance: &mut Chance) -> Outcome {
        let whole = match self.many.read_for(STALL) {
            Ok(guard) => checked("pair of a reader", guard, |guard| **guard)?,
            // As a dead writer left it: for writers to put in order.
            Err(LockError::OwnerDied(_)) => return Ok(()),
            Err(error) => return Err(format!("read: {error}").into()),
        };
        let before = *whole;
        if chance.once_in(4) {
            std::thread::yield_now();
        }
        if *whole != before {
            return Err(format!("read {before:?} in peace: it became {:?}", *whole).into());
        }
        Ok(())
    }

    fn go_inside(&self, chance: &mut Chance) -> Outcome {
        let _permit = if chance.once_in(8) {
            block_on(self.permits.acquire_async())?
        } else {
            self.permits.acquire_for(STALL).map_err(|error| format!("go inside: {error}"))?
        };
        // Who is inside has one of them until it is out, also when it leaves by dying.
        for lock in &self.inside {
            match lock.try_lock() {
                Err(LockError::Busy) => {}
                locked => return self.change(&mut *in_order("pair inside", locked)?, chance),
            }
        }
        Err("be inside with one other at most: two are there already".into())
    }
}

/// The guard, with the pair as it must be.
fn in_order<'a>(what: &str, locked: Result<Guard<'a, Pair>, LockError<Guard<'a, Pair>>>) -> Outcome<Guard<'a, Pair>> {
    match locked {
        Ok(guard) => checked(what, guard, |guard| **guard),
        Err(LockError::OwnerDied(mut guard)) => {
            repair(what, &mut guard)?;
            guard.mark_consistent();
            Ok(guard)
        }
        Err(error) => Err(format!("lock the {what}: {error}").into()),
    }
}

fn checked<G>(what: &str, guard: G, pair: impl Fn(&G) -> Pair) -> Outcome<G> {
    let [one, other] = pair(&guard);
    if one == other {
        Ok(guard)
    } else {
        Err(format!("find the {what} in order: it is {one} and {other}, and no death was told").into())
    }
}

fn repair(what: &str, pair: &mut Pair) -> Outcome {
    if pair[0].wrapping_sub(pair[1]) > 1 {
        return Err(format!("repair the {what}: {pair:?} is more than one death can leave").into());
    }
    pair[1] = pair[0];
    Ok(())
}

/// Processes hold and want locks, and die.
pub fn holders_die(chance: &mut Chance, length: Duration) -> Outcome<Tally> {
    let arena = Arena::create(64 * 1024)?;
    let shared = Shared::create(&arena)?;
    let (page, stops) = (StatusPage::create()?, StatusPage::create()?);
    let mut lives = Chance::new(chance.below(u64::MAX));
    let mut start = |_| {
        let part = HammeringOf { shared: &shared, page: page.writable()?, seed: lives.below(u64::MAX) };
        Other::start(Role::Hammer, &part, &mut lives)
    };
    let mut crowd = Crowd::gather(HAMMERS, &stops, &mut start)?;
    let (begun, mut longest_stall) = (Instant::now(), Duration::ZERO);
    while begun.elapsed() < length {
        if !crowd.disturb(chance, &mut start)? || crowd.anybody_is_stopped() {
            std::thread::sleep(Duration::from_millis(1)); // sleep: the others' turn
            continue;
        }
        // We come as one more who wants what the dead one may have had.
        let died = Instant::now();
        match chance.below(3) {
            0 => drop(in_order("pair", shared.pair.lock_for(STALL))?),
            1 => drop(shared.many.write_for(STALL).or_else(LockError::into_guard).map_err(LockError::without_guard)?),
            _ => drop(shared.permits.acquire_for(STALL)?),
        }
        longest_stall = longest_stall.max(died.elapsed());
    }
    crowd.disperse()?;
    all_is_usable(&shared)?;
    let mut done = 0;
    let (pair, many) = (
        *in_order("pair", shared.pair.lock_for(STALL))?,
        *shared.many.read_for(STALL).map_err(LockError::without_guard)?,
    );
    for ([changes, _], told) in [pair, many].into_iter().zip(CHANGED) {
        let told = page.view().get(told);
        done += told;
        if changes < told || changes > told + crowd.killed() {
            return Err(format!("find all changes: {told} were told, {changes} were made").into());
        }
    }
    Ok(Tally { killed: crowd.killed(), done, longest_stall })
}

/// With nobody left, everything can be had.
fn all_is_usable(shared: &Shared) -> Outcome {
    drop(in_order("pair", shared.pair.try_lock())?);
    let mut guard = shared.many.try_write().or_else(LockError::into_guard).map_err(LockError::without_guard)?;
    repair("pair of a writer", &mut guard)?;
    guard.mark_consistent();
    drop(guard);
    let permits = (shared.permits.try_acquire()?, shared.permits.try_acquire()?, shared.permits.try_acquire()?);
    if !matches!(permits, (Some(_), Some(_), None)) {
        return Err("have two permits and no third: the dead changed how many there are".into());
    }
    for lock in &shared.inside {
        drop(in_order("pair inside", lock.try_lock())?);
    }
    Ok(())
}

/// As [`Hammering`], for the way.
#[derive(Serialize)]
struct HammeringOf<'a> {
    shared: &'a Shared,
    page: Passed,
    seed: u64,
}

/// Holds and wants, until it is killed.
pub fn hammer(Hammering { shared, page, seed }: Hammering) -> Outcome {
    let (page, mut chance) = (StatusPage::open(page.into_owned()?)?, Chance::new(seed));
    loop {
        match chance.below(5) {
            0 => {
                shared.change_pair(&mut chance)?;
                page.add(CHANGED[0], 1);
            }
            1 => {
                shared.change_many(&mut chance)?;
                page.add(CHANGED[1], 1);
            }
            2 | 3 => shared.read_many(&mut chance)?,
            _ => shared.go_inside(&mut chance)?,
        }
    }
}
