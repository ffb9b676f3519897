//! What is measured, a file for each row.

mod call;
mod memory;
mod pool;
mod spawn;
mod wakeups;

use std::time::Duration;

use bench::{Outcome, cores::Placement, rows::Row};
use process::System;

/// All rows by their names, in the order of the report.
pub const ROWS: &[(&str, Measure)] = &[
    ("call-round-trip", call::row),
    ("spawn-1000-exec", spawn::exec),
    ("spawn-1000-zygote", spawn::zygote),
    ("pool-unchunked", pool::row),
    ("idle-child-memory", memory::row),
    ("idle-wakeups", wakeups::row),
];

/// Measures one row.
type Measure = fn(&System, &Effort) -> Outcome<Row>;

/// How much is done for an answer.
pub struct Effort {
    /// How often everybody has a turn.
    pub rounds: u32,
    /// What part of a whole run's operations a turn has.
    part: f64,
}

impl Effort {
    pub fn whole() -> Self {
        Self { rounds: 20, part: 1.0 }
    }

    pub fn quick() -> Self {
        Self { rounds: 3, part: 0.1 }
    }

    /// How many operations a turn has, of so many in a whole run.
    pub fn of(&self, count: u32) -> u32 {
        ((f64::from(count) * self.part) as u32).max(1)
    }

    /// For what takes a second and more: a part of the rounds.
    pub fn few_rounds(&self) -> u32 {
        (self.rounds / 4).max(1)
    }

    /// How long to look at something that doesn't happen.
    pub fn patience(&self) -> Duration {
        Duration::from_secs_f64((5.0 * self.part).max(1.0))
    }
}

/// In milliseconds; a quick run starts fewer, and says what a thousand would have taken.
pub fn of_a_thousand(took: Duration, count: u32) -> f64 {
    took.as_secs_f64() * 1000.0 * 1000.0 / f64::from(count)
}

/// Wherever the scheduler likes.
fn anywhere() -> Outcome<Placement> {
    Placement::any().pop().ok_or_else(|| "find a core to run on".into())
}
