//! Locking and unlocking what nobody else wants.

use std::{
    hint,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use bench::{Outcome, cores::Placement, samples::now_ns};
use shm::{arena::Arena, lock::Lock};

use super::{Effort, two_cores};
use crate::{
    contender::{Contender, Entrant, Part, Turn, in_turns},
    python::{Python, SCRIPT},
    raw::RobustMutex,
    report::{Aim, Row, Table, Unit},
};

/// So many in a row make a sample: one alone is shorter than a look at the clock.
const IN_A_ROW: u32 = 1000;

pub fn row(effort: &Effort) -> Outcome<Row> {
    let (word, mutex) = (AtomicU32::new(0), Mutex::new(0_u64));
    let ours = Lock::create(&Arena::create(4096)?, 0_u64)?;
    let mut entrants = [
        Entrant::new(
            "framewire",
            Part::Ours,
            passes(move || {
                let guard = ours.lock();
                *guard.unwrap_or_else(|_| panic!("nobody else has this lock, or had it and died")) += 1;
            }),
        ),
        Entrant::new("cas-pair", Part::Limit, passes(move || cas_pair(&word))),
        Entrant::new(
            "std-mutex",
            Part::Peer,
            passes(move || {
                *mutex.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            }),
        ),
        Entrant::new(
            "pthread-robust-mutex",
            Part::Peer,
            RobustMutex::new().and_then(|mutex| passes(move || mutex.pass())),
        ),
        Entrant::new("cpython-lock", Part::Peer, Python::start(SCRIPT, "lock")).slower(10),
    ];
    let place = two_cores()?;
    let measured = in_turns(place, &mut entrants, effort.rounds, effort.of(500))?;
    Ok(Row {
        name: "lock-uncontended",
        what: "a lock for several processes locked and unlocked, while nobody else wants it",
        unit: Unit::Nanoseconds,
        tables: vec![Table::new("one process", Unit::Nanoseconds, measured)],
        aims: vec![Aim::Most(20.0)],
        notes: vec![
            "cas-pair: one compare-and-swap to lock, one to unlock".to_owned(),
            "std-mutex and cas-pair are for one process; pthread-robust-mutex and cpython-lock for several".to_owned(),
        ],
    })
}

struct Passes<F>(F);

fn passes<F: FnMut()>(pass: F) -> Outcome<Passes<F>> {
    Ok(Passes(pass))
}

impl<F: FnMut()> Contender for Passes<F> {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        let sample = |_| {
            let start = now_ns();
            (0..IN_A_ROW).for_each(|_| (self.0)());
            (now_ns() - start) as f64 / f64::from(IN_A_ROW)
        };
        Ok(Turn { samples: (0..count).map(sample).collect(), ..Turn::default() })
    }
}

fn cas_pair(word: &AtomicU32) {
    // Acquire and Release pair with each other, as in every lock.
    while word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        hint::spin_loop();
    }
    let _ = word.compare_exchange(1, 0, Ordering::Release, Ordering::Relaxed);
}
