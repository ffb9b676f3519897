//! Processes that say that they are there, and then do nothing.

use std::time::{Duration, Instant};

use bench::{
    Outcome,
    contender::{Contender, Turn},
    cores::Placement,
};

use super::{Raw, Role};
use crate::crowd::{private_kib, switches_a_second};

/// Starts so many at once, by `posix_spawn`, and waits until each has said one byte.
pub struct Starts;

/// Some that are there all the time.
pub struct Still {
    processes: Vec<Raw>,
    patience: Option<Duration>,
}

impl Contender for Starts {
    fn turn(&mut self, _place: Placement, count: u32) -> Outcome<Turn> {
        let begun = Instant::now();
        let all = (0..count).map(|_| Raw::start(Role::Idle)).collect::<Outcome<Vec<_>>>()?;
        all.iter().try_for_each(|raw| raw.hear(&mut [0]).map(drop))?;
        let took = begun.elapsed();
        // All at once, so that they don't have to be waited for one by one.
        all.into_iter().for_each(|mut raw| drop(raw.child.kill()));
        Ok(Turn { samples: vec![crate::rows::of_a_thousand(took, count)], ..Turn::default() })
    }
}

impl Still {
    /// So many, whose wake-ups are counted for so long; without a time, the memory of one is looked at.
    pub fn of(role: Role, count: u32, patience: Option<Duration>) -> Outcome<Self> {
        let processes = (0..count).map(|_| Raw::start(role)).collect::<Outcome<Vec<_>>>()?;
        if role == Role::Idle {
            processes.iter().try_for_each(|raw| raw.hear(&mut [0]).map(drop))?;
        }
        Ok(Self { processes, patience })
    }
}

impl Contender for Still {
    fn turn(&mut self, _place: Placement, _count: u32) -> Outcome<Turn> {
        let pids: Vec<u32> = self.processes.iter().map(|raw| raw.child.id()).collect();
        let sample = match self.patience {
            Some(patience) => switches_a_second(&pids, patience)?,
            None => private_kib(pids[0])?,
        };
        Ok(Turn { samples: vec![sample], ..Turn::default() })
    }
}
