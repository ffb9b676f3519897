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

const TOGETHER: u32 = 4;

pub fn row(system: &System, effort: &Effort) -> Outcome<Row> {
    // Not alone: what all of them have mapped, such as the program's own code, is nobody's own.
    let start = |index| system.spawn::<Subject>(()).name(format!("idle {index}")).start();
    let idle = (0..TOGETHER).map(start).collect::<Result<Vec<_>, _>>()?;
    // They have worked once, as every process has that does nothing for the moment.
    idle.iter().try_for_each(|idle| idle.echo(1).wait().map(drop))?;
    let mut entrants = [
        Entrant::new("framewire", Part::Ours, Ok(Idle(idle))),
        Entrant::new("raw-process", Part::Limit, raw::Still::of(raw::Role::Idle, TOGETHER, None)),
        Entrant::new("cpython-fork", Part::Peer, python::start("memory")),
    ];
    let measured = in_turns(anywhere()?, &mut entrants, effort.few_rounds(), 1)?;
    Ok(Row {
        name: "idle-child-memory",
        what: "private memory (Private_Clean and Private_Dirty) of an idle child, one of several",
        unit: Unit::Kibibytes,
        tables: vec![Table::new("any core", Unit::Kibibytes, measured)],
        aims: vec![Aim::Most(400.0)],
        notes: vec!["raw-process: this program again, which waits in one read".to_owned()],
    })
}

struct Idle(Vec<SubjectHandle>);

impl Contender for Idle {
    fn turn(&mut self, _place: Placement, _count: u32) -> Outcome<Turn> {
        let pid = self.0[0].process_id().ok_or("look at a process: it is gone")?;
        Ok(Turn { samples: vec![private_kib(pid as u32)?], ..Turn::default() })
    }
}
