//! What is measured, a file for each row.

mod fan_out;
mod frame;
mod idle;
mod lock;
mod queue;
mod round_trip;

use bench::{Outcome, cores::Placement};
use serde::{Deserialize, Serialize};

use crate::{
    peer::{Control, Side},
    report::Row,
    ways::{Lane, Ticket},
};

/// All rows by their names, in the order of the report.
pub const ROWS: &[(&str, Measure)] = &[
    ("round-trip-64b", round_trip::asleep),
    ("frame-1080p", frame::row),
    ("fan-out-8", fan_out::row),
    ("spin-one-way", round_trip::spinning),
    ("queue-1-to-1", queue::row),
    ("lock-uncontended", lock::row),
    ("idle-wakeups", idle::row),
];

/// Measures one row.
type Measure = fn(&Effort) -> Outcome<Row>;

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
        Self { rounds: 4, part: 0.4 }
    }

    /// How many operations a turn has, of so many in a whole run.
    pub fn of(&self, count: u32) -> u32 {
        ((f64::from(count) * self.part) as u32).max(1)
    }

    /// How long to look at something that doesn't happen.
    pub fn patience(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(3.0 * self.part)
    }
}

/// What another process is started for.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// Gives back what it gets.
    Echo(Lane, Ticket),
    /// Reads pictures and says when.
    Pictures(Lane, Ticket),
    /// Reads what many read.
    FanOut(Lane, Ticket),
    /// Takes items out of a queue.
    Queue(queue::Ticket),
    /// Has rings, queues, … and nothing to do.
    Idle(idle::Role),
}

impl Role {
    pub fn take(self, control: &Control) -> Outcome<Box<dyn Side>> {
        Ok(match self {
            Self::Echo(lane, ticket) => Box::new(round_trip::Echo::new(&lane, ticket, control)?),
            Self::Pictures(lane, ticket) => Box::new(frame::Viewer::new(&lane, ticket, control)?),
            Self::FanOut(lane, ticket) => Box::new(fan_out::Viewer::new(&lane, ticket, control)?),
            Self::Queue(ticket) => Box::new(queue::Consumer::new(ticket, control)?),
            Self::Idle(role) => role.take(control)?,
        })
    }
}

/// Each side on a core of its own, if we may run on two; otherwise both on one.
fn two_cores() -> Outcome<Placement> {
    Placement::pinned()?.pop().ok_or_else(|| "find a core to run on".into())
}
