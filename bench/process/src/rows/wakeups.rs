//! Nothing to do: how often anybody wakes all the same, by the kernel's own counters.

use std::time::Duration;

use bench::{
    Outcome,
    contender::{Contender, Entrant, Part, Turn, in_turns},
    cores::Placement,
    rows::{Aim, Row, Table, Unit},
};
use process::{Pool, Restart, System};

use super::{Effort, anywhere};
use crate::{
    crowd::switches_a_second,
    raw,
    subject::{Subject, SubjectHandle},
};

const CHILDREN: u32 = 50;

pub fn row(system: &System, effort: &Effort) -> Outcome<Row> {
    let patience = effort.patience();
    let mut entrants = [
        Entrant::new("framewire", Part::Ours, Idle::start(system, patience)),
        Entrant::new("blocked-reads", Part::Limit, raw::Still::of(raw::Role::Idle, CHILDREN, Some(patience))),
        Entrant::new("control-ticking-at-10-hz", Part::Peer, raw::Still::of(raw::Role::Ticking, 1, Some(patience))),
    ];
    let measured = in_turns(anywhere()?, &mut entrants, 1, 1)?;
    Ok(Row {
        name: "idle-wakeups",
        what: "50 supervised children, a pool, and nothing to do: how often any thread of theirs, or the supervisor's or the pool's, wakes",
        unit: Unit::WakeUpsASecond,
        tables: vec![Table::new("any core", Unit::WakeUpsASecond, measured)],
        aims: vec![Aim::Most(0.0)],
        notes: vec![format!(
            "each for {:.1} s; the control ticks to show that the counters count",
            patience.as_secs_f64()
        )],
    })
}

struct Idle {
    children: Vec<SubjectHandle>,
    pool: Pool<Subject>,
    patience: Duration,
}

impl Idle {
    fn start(system: &System, patience: Duration) -> Outcome<Self> {
        let begin =
            |index| system.spawn::<Subject>(()).name(format!("resting {index}")).restart(Restart::on_failure()).begin();
        let starting = (0..CHILDREN).map(begin).collect::<Result<Vec<_>, _>>()?;
        let children = starting.into_iter().map(|starting| starting.wait()).collect::<Result<Vec<_>, _>>()?;
        let pool = system.pool::<Subject>(2, |_| ())?;
        pool.map(0..1000, |worker, number| worker.square(number))?;
        Ok(Self { children, pool, patience })
    }
}

impl Contender for Idle {
    fn turn(&mut self, _place: Placement, _count: u32) -> Outcome<Turn> {
        let children = self.children.iter().filter_map(|child| child.process_id());
        let workers = self.pool.workers().into_iter().filter_map(|worker| worker.pid);
        let pids: Vec<u32> = children.chain(workers).map(|pid| pid as u32).chain([std::process::id()]).collect();
        let theirs = switches_a_second(&pids, self.patience)?;
        Ok(Turn { samples: vec![theirs], ..Turn::default() })
    }
}
