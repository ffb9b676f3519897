//! Which core does what.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Where the two sides run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Cores {
    pub writer: Core,
    pub reader: Core,
}

/// A core to run on; none: the scheduler's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core(Option<usize>);

impl Cores {
    /// Wherever the scheduler likes.
    pub fn any() -> Self {
        Self { writer: Core(None), reader: Core(None) }
    }

    /// The first two cores that we may run on; the scheduler's choice if there are not so many.
    pub fn apart() -> Outcome<Self> {
        let ours = sched_getaffinity(None).map_err(|error| format!("ask which cores we may run on: {error}"))?;
        let mut ours = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core));
        let chosen = ours.next().zip(ours.next());
        Ok(chosen
            .map_or_else(Self::any, |(writer, reader)| Self { writer: Core(Some(writer)), reader: Core(Some(reader)) }))
    }

    /// For the report.
    pub fn describe(&self) -> String {
        match (self.writer.0, self.reader.0) {
            (Some(writer), Some(reader)) => format!("writer pinned to core {writer}, reader to core {reader}"),
            _ => "neither side pinned".to_owned(),
        }
    }
}

impl Core {
    /// Keeps the calling thread there.
    pub fn pin(self) -> Outcome {
        let Some(core) = self.0 else { return Ok(()) };
        let mut set = CpuSet::new();
        set.set(core);
        Ok(sched_setaffinity(None, &set).map_err(|error| format!("keep to core {core}: {error}"))?)
    }
}
