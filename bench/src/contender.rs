//! Whoever is measured: ours, the limit and the peers take turns.

use rustix::time::{ClockId, clock_gettime};

use crate::{Outcome, cores::Placement, watch};

/// One way of doing what a row measures.
pub trait Contender {
    /// Does it so often, with each side where it belongs.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being measured.
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn>;
}

/// What came of one turn.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    /// In the row's unit.
    pub samples: Vec<f64>,
    /// What both sides worked, in nanoseconds.
    pub cpu_ns: u64,
    /// How many operations that was for.
    pub operations: u64,
}

/// A contender that may be missing from this machine.
pub struct Entrant {
    /// Its name in the report.
    pub name: &'static str,
    /// What its figures are for.
    pub part: Part,
    /// Or why it isn't there.
    pub contender: Outcome<Box<dyn Contender>>,
    /// It does so many times less in a turn, as it is so much slower.
    pub slower: u32,
}

/// What a figure is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// This project's.
    Ours,
    /// What the machine can do at best.
    Limit,
    /// Somebody else's.
    Peer,
}

/// All turns of one entrant in one place.
pub struct Measured {
    /// Its name in the report.
    pub name: &'static str,
    /// What its figures are for.
    pub part: Part,
    /// Or why it isn't there.
    pub turns: Result<Turn, String>,
}

impl Entrant {
    /// One that takes part, unless it failed already.
    pub fn new(name: &'static str, part: Part, contender: Outcome<impl Contender + 'static>) -> Self {
        let contender = contender.map(|contender| Box::new(contender) as Box<dyn Contender>);
        Self { name, part, contender, slower: 1 }
    }

    /// Has it do so many times less in a turn.
    #[must_use]
    pub fn slower(self, slower: u32) -> Self {
        Self { slower, ..self }
    }
}

/// Has all of them take turns in one place. A peer may fail and is then reported with the reason; ours and the limit
/// may not.
///
/// # Errors
///
/// What ours or the limit failed at.
pub fn in_turns(place: Placement, entrants: &mut [Entrant], rounds: u32, count: u32) -> Outcome<Vec<Measured>> {
    let mut all: Vec<Turn> = entrants.iter().map(|_| Turn::default()).collect();
    for _ in 0..rounds {
        for (entrant, sum) in entrants.iter_mut().zip(&mut all) {
            let Ok(contender) = &mut entrant.contender else { continue };
            watch::step(format!("measure {} on {}", entrant.name, place.name));
            match contender.turn(place, (count / entrant.slower).max(1)) {
                Ok(turn) => sum.add(turn),
                Err(error) => entrant.contender = Err(error),
            }
        }
    }
    let measured = entrants.iter().zip(all).map(|(entrant, turns)| {
        let turns = match &entrant.contender {
            Ok(_) => Ok(turns),
            Err(error) if entrant.part == Part::Peer => Err(error.to_string()),
            Err(error) => return Err(format!("have {} take its turn: could not {error}", entrant.name).into()),
        };
        Ok(Measured { name: entrant.name, part: entrant.part, turns })
    });
    measured.collect()
}

impl Turn {
    fn add(&mut self, other: Self) {
        self.samples.extend(other.samples);
        self.cpu_ns += other.cpu_ns;
        self.operations += other.operations;
    }
}

/// What this process has worked so far, in nanoseconds.
#[must_use]
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
