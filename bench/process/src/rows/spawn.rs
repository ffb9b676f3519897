//! A thousand processes, from the first order until the last is ready.

use std::time::{Duration, Instant};

use bench::{
    Outcome,
    contender::{Contender, Entrant, Part, Turn, in_turns},
    cores::Placement,
    rows::{Aim, Row, Table, Unit},
};
use process::{Launcher, System};

use super::{Effort, anywhere, of_a_thousand};
use crate::{
    python, raw,
    subject::{Subject, SubjectHandle},
};

/// So many; a quick run starts fewer.
const COUNT: u32 = 1000;

/// How long all of them have to end.
const GRACE: Duration = Duration::from_secs(10);

/// Each by an exec of this program.
pub fn exec(system: &System, effort: &Effort) -> Outcome<Row> {
    let ours = Starts { system: system.clone(), launcher: Launcher::Exec };
    row("spawn-1000-exec", ours, vec![Aim::MostTimes(1.5, "raw-posix-spawn")], effort)
}

/// Each a copy of a zygote, which is there before.
pub fn zygote(system: &System, effort: &Effort) -> Outcome<Row> {
    let mut ours = Starts { system: system.clone(), launcher: Launcher::Zygote };
    ours.turn(anywhere()?, 1)?;
    row("spawn-1000-zygote", ours, vec![Aim::Most(300.0)], effort)
}

fn row(name: &'static str, ours: Starts, aims: Vec<Aim>, effort: &Effort) -> Outcome<Row> {
    let mut entrants = [
        Entrant::new("framewire", Part::Ours, Ok(ours)),
        Entrant::new("raw-posix-spawn", Part::Limit, Ok(raw::Starts)),
        // Gigabytes, and minutes, otherwise; what a thousand would take is computed from fewer.
        Entrant::new("cpython-fork", Part::Peer, python::start("fork")).slower(5),
        Entrant::new("cpython-spawn", Part::Peer, python::start("spawn")).slower(50),
    ];
    let measured = in_turns(anywhere()?, &mut entrants, effort.few_rounds(), effort.of(COUNT))?;
    let counted =
        format!("{} at a time in this run; cpython-fork a fifth of that, cpython-spawn a fiftieth", effort.of(COUNT));
    Ok(Row {
        name,
        what: "1,000 processes started at once, until the last has said that it is ready",
        unit: Unit::Milliseconds,
        tables: vec![Table::new("not pinned", Unit::Milliseconds, measured)],
        aims,
        notes: vec![
            "raw-posix-spawn: this program again, which says one byte by a socket; no pipes for its output".to_owned(),
            counted,
        ],
    })
}

struct Starts {
    system: System,
    launcher: Launcher,
}

impl Contender for Starts {
    fn turn(&mut self, _place: Placement, count: u32) -> Outcome<Turn> {
        let begun = Instant::now();
        let spawn = |index| self.system.spawn::<Subject>(()).name(format!("one of many {index}"));
        let begin = |index| spawn(index).launcher(self.launcher).begin();
        let starting = (0..count).map(begin).collect::<Result<Vec<_>, _>>()?;
        let all = starting.into_iter().map(|starting| starting.wait()).collect::<Result<Vec<SubjectHandle>, _>>()?;
        let took = begun.elapsed();
        all.iter().for_each(|subject| subject.kill());
        if !all.iter().all(|subject| subject.join_for(GRACE).is_some()) {
            return Err("end what was started: some are still there".into());
        }
        Ok(Turn { samples: vec![of_a_thousand(took, count)], ..Turn::default() })
    }
}
