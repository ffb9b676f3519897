//! What a process costs that does nothing.

use bench::{
    Outcome,
    contender::{Contender, Entrant, Part, Turn, in_turns},
    cores::Placement,
    rows::{Aim, Row, Table, Unit},
};
use process::System;

use super::{Effort, anywhere};
use crate::{
    crowd::private_kib,
    python, raw,
    subject::{Subject, SubjectHandle},
};

pub fn row(system: &System, effort: &Effort) -> Outcome<Row> {
    let idle = system.spawn::<Subject>(()).name("idle").start()?;
    // It has worked once, as every process has that does nothing for the moment.
    idle.echo(1).wait()?;
    let mut entrants = [
        Entrant::new("framewire", Part::Ours, Ok(Idle(idle))),
        Entrant::new("raw-process", Part::Limit, raw::Still::one()),
        Entrant::new("cpython-fork", Part::Peer, python::start("memory")),
    ];
    let measured = in_turns(anywhere()?, &mut entrants, effort.few_rounds(), 1)?;
    Ok(Row {
        name: "idle-child-memory",
        what: "private memory (Private_Clean and Private_Dirty) of an idle child",
        unit: Unit::Kibibytes,
        tables: vec![Table::new("any core", Unit::Kibibytes, measured)],
        aims: vec![Aim::Most(400.0)],
        notes: vec!["raw-process: this program again, which waits in one read".to_owned()],
    })
}

struct Idle(SubjectHandle);

impl Contender for Idle {
    fn turn(&mut self, _place: Placement, _count: u32) -> Outcome<Turn> {
        let pid = self.0.process_id().ok_or("look at a process: it is gone")?;
        Ok(Turn { samples: vec![private_kib(pid as u32)?], ..Turn::default() })
    }
}
