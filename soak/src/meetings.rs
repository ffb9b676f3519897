//! Processes that wait for each other, by a condition and at a barrier, while some of them die.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use shm::{
    arena::Arena,
    clock::monotonic_ns,
    lock::{Barrier, BarrierError, Condition, Guard, Lock, LockError},
    status::{Number, StatusPage, StatusView},
    wire::Passed,
};

use crate::{
    Outcome, STALL, Tally,
    chance::Chance,
    child::{Other, Role},
    crowd::{Crowd, excuse, undisturbed},
    wait::block_on,
};

const PLAYERS: usize = 2;
const PARTIES: usize = 3;

/// On a party's page: when it last went to the barrier, and when it came away from it.
const CAME: Number = Number::FramesIn;
const WENT: Number = Number::FramesOut;
/// On each one's page: how often that went well, and the longest wait while nobody was stopped, in nanoseconds.
const WELL: Number = Number::Heartbeat;
const LONGEST: Number = Number::Dropped;

/// A player's part: it waits until the number is its own, and adds one.
#[derive(Serialize, Deserialize)]
pub struct Playing {
    number: Condition<u64>,
    lane: usize,
    page: Passed,
    stops: Passed,
    seed: u64,
}

/// A party's part: it waits for the others again and again.
#[derive(Serialize, Deserialize)]
pub struct Meeting {
    barrier: Barrier,
    lane: usize,
    pages: Vec<Passed>,
    stops: Passed,
}

/// Players and parties die.
pub fn parties_die(chance: &mut Chance, length: Duration) -> Outcome<Tally> {
    let arena = Arena::create(64 * 1024)?;
    let number = Condition::create(&Lock::create(&arena, 0)?)?;
    let barrier = Barrier::create(&arena, PARTIES as u32)?;
    let (stops, mut pages) = (StatusPage::create()?, Vec::new());
    for _ in 0..PLAYERS + PARTIES {
        pages.push(StatusPage::create()?);
    }
    let mut lives = Chance::new(chance.below(u64::MAX));
    let mut came = 0;
    let mut start = |lane: usize| match lane.checked_sub(PLAYERS) {
        None => {
            came += 1;
            if came > PLAYERS && lives.once_in(20) {
                the_other_is_told(&number, &stops)?;
            }
            let (page, stops, seed) = (pages[lane].writable()?, stops.read_only()?, lives.below(u64::MAX));
            let part = Playing { number: number.clone(), lane, page, stops, seed };
            Other::start(Role::Player, &part, &mut lives)
        }
        Some(lane) => {
            let pages = pages[PLAYERS..].iter().map(StatusPage::writable).collect::<Result<_, _>>()?;
            let part = Meeting { barrier: barrier.clone(), lane, pages, stops: stops.read_only()? };
            Other::start(Role::Party, &part, &mut lives)
        }
    };
    let mut crowd = Crowd::gather(PLAYERS + PARTIES, &stops, &mut start)?;
    let begun = Instant::now();
    let mut watched = [Progress::new(), Progress::new()];
    while begun.elapsed() < length {
        crowd.disturb(chance, &mut start)?;
        std::thread::sleep(Duration::from_millis(1)); // sleep: the others' turn
        for (progress, pages) in watched.iter_mut().zip([&pages[..PLAYERS], &pages[PLAYERS..]]) {
            progress.see(total(pages))?;
        }
    }
    crowd.disperse()?;
    all_is_usable(&number, &barrier)?;
    let longest = pages.iter().map(|page| page.view().get(LONGEST)).max().unwrap_or_default();
    Ok(Tally { killed: crowd.killed(), done: total(&pages), longest_stall: Duration::from_nanos(longest) })
}

fn total(pages: &[StatusPage]) -> u64 {
    pages.iter().map(|page| page.view().get(WELL)).sum()
}

/// One of the players is dead. If it died with the lock, the one who waits is told of it, long before another player comes.
fn the_other_is_told(number: &Condition<u64>, stops: &StatusPage) -> Outcome {
    if undisturbed(stops.view()).is_none() {
        return Ok(()); // it is the other one who is stopped, perhaps
    }
    std::thread::sleep(STALL / 8); // sleep: the other one's turn, with nobody to come to its help
    excuse(stops);
    match number.lock().try_lock() {
        Err(LockError::OwnerDied(guard)) => {
            let left = number.waiting(&guard);
            // We are told instead, so we are the one to do this.
            number.notify_all(&guard);
            if left > 0 {
                return Err("see who waits told that the lock's owner died: nobody was".into());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What must go on, also while some die.
struct Progress {
    last: u64,
    at: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { last: 0, at: Instant::now() }
    }

    fn see(&mut self, now: u64) -> Outcome {
        // Rounds of a barrier, each of which a death can break, may well fail a few times in a row.
        if self.at.elapsed() > 3 * STALL {
            return Err(format!("see anybody get on: nothing has gone well for {:?}", self.at.elapsed()).into());
        }
        if now != self.last {
            *self = Self { last: now, at: Instant::now() };
        }
        Ok(())
    }
}

/// With nobody left, nobody waits, and a new meeting goes well.
fn all_is_usable(number: &Condition<u64>, barrier: &Barrier) -> Outcome {
    let guard = number.lock().try_lock().or_else(LockError::into_guard).map_err(LockError::without_guard)?;
    let waiting = number.waiting(&guard);
    if waiting > 0 || number.notify(&guard, 10) > 0 {
        return Err(format!("find nobody waiting: {waiting} of the dead do").into());
    }
    drop(guard);
    barrier.reset()?;
    let came = std::thread::scope(|scope| {
        let parties: Vec<_> = (0..PARTIES).map(|_| scope.spawn(|| barrier.wait_for(STALL))).collect();
        parties.into_iter().map(|party| party.join().map_err(|_| "panic")).collect::<Result<Vec<_>, _>>()
    })?;
    let mut came = came.into_iter().collect::<Result<Vec<_>, _>>()?;
    came.sort_unstable();
    if came != [0, 1, 2] {
        return Err(format!("meet again: they came as {came:?}").into());
    }
    Ok(())
}

/// A wait, as long as nobody is stopped meanwhile.
fn timed<T>(page: &StatusPage, stops: &StatusView, wait: impl FnOnce() -> T) -> T {
    let (before, begun) = (undisturbed(stops), Instant::now());
    let waited_for = wait();
    let waited = begun.elapsed().as_nanos() as u64;
    if before.is_some() && before == undisturbed(stops) && waited > page.view().get(LONGEST) {
        page.set(LONGEST, waited);
    }
    waited_for
}

/// Plays until it is killed.
pub fn play(Playing { number, lane, page, stops, seed }: Playing) -> Outcome {
    let (page, stops, mut chance) =
        (StatusPage::open(page.into_owned()?)?, StatusView::open(&stops)?, Chance::new(seed));
    /// A dead one may have changed the number and notified nobody.
    fn told<'a>(number: &Condition<u64>, mut guard: Guard<'a, u64>) -> Guard<'a, u64> {
        guard.mark_consistent();
        number.notify_all(&guard);
        guard
    }
    loop {
        let mut guard = match number.lock().lock_for(STALL) {
            Err(LockError::OwnerDied(guard)) => told(&number, guard),
            locked => locked.map_err(|error| format!("lock the number: {error}"))?,
        };
        while *guard % PLAYERS as u64 != lane as u64 {
            let asynchronous = chance.once_in(8);
            let waited = timed(&page, &stops, || {
                if asynchronous {
                    return block_on(number.wait_async(guard))
                        .map(|guard| (guard, true))
                        .map_err(|error| error.into_guard().map_err(LockError::without_guard));
                }
                number.wait_for(guard, STALL).map_err(|error| match error.into_guard() {
                    Ok((guard, _)) => Ok(guard),
                    Err(error) => Err(error.without_guard()),
                })
            });
            guard = match waited {
                Ok((guard, true)) => guard,
                Ok((guard, false)) if *guard % PLAYERS as u64 == lane as u64 => {
                    return Err("wait for the number: it had become ours, and nobody notified us".into());
                }
                Ok((_, false)) => return Err(format!("wait for the number: it didn't become ours in {STALL:?}").into()),
                Err(Ok(guard)) => told(&number, guard),
                Err(Err(error)) => return Err(format!("wait for the number: {error}").into()),
            };
        }
        *guard += 1;
        if chance.once_in(50) {
            std::thread::sleep(Duration::from_millis(1)); // sleep: somebody may kill us here
        }
        number.notify_one(&guard);
        drop(guard);
        page.add(WELL, 1);
    }
}

/// Meets the others until it is killed.
pub fn meet(Meeting { barrier, lane, pages, stops }: Meeting) -> Outcome {
    let open = |page: Passed| -> Outcome<StatusPage> { Ok(StatusPage::open(page.into_owned()?)?) };
    let pages = pages.into_iter().map(open).collect::<Outcome<Vec<_>>>()?;
    let (page, stops) = (&pages[lane], StatusView::open(&stops)?);
    loop {
        let came = monotonic_ns();
        page.set(CAME, came);
        let met = timed(page, &stops, || barrier.wait_for(STALL));
        match met {
            Ok(_) => {
                let missing = |other: &StatusPage| {
                    let (came_too, went) = (other.view().get(CAME), other.view().get(WENT));
                    came_too == 0 || (went >= came_too && went < came)
                };
                if pages.iter().any(missing) {
                    return Err("meet all others: one wasn't there".into());
                }
                page.set(WENT, monotonic_ns());
                page.add(WELL, 1);
            }
            Err(BarrierError::Broken) => {
                page.set(WENT, monotonic_ns());
                // As soon as one knows; the others are told once more, at worst.
                if barrier.is_broken() {
                    barrier.reset()?;
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
