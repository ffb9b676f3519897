//! A small question and its answer.

use bench::{
    Outcome,
    contender::{Contender, Entrant, Part, Turn, in_turns},
    cores::Placement,
    rows::{Aim, Row, Table, Unit},
    samples::now_ns,
};
use process::System;

use super::Effort;
use crate::{crowd::pin_process, python, raw, subject::SubjectHandle};

pub fn row(system: &System, effort: &Effort) -> Outcome<Row> {
    let mut entrants = [
        Entrant::new("framewire", Part::Ours, Calls::start(system)),
        Entrant::new("raw-seqpacket", Part::Limit, raw::Echo::start()),
        Entrant::new("cpython-pipe", Part::Peer, python::start("pipe")),
    ];
    // Programs are told of one core, where software is what it takes: to wake another one takes as long as interrupts do.
    let tables = Placement::pinned()?.into_iter().chain(Placement::any()).map(|place| {
        let measured = in_turns(place, &mut entrants, effort.rounds, effort.of(2000))?;
        Ok(Table::new(place.name, Unit::Nanoseconds, measured))
    });
    let tables = tables.collect::<Outcome<_>>()?;
    pin_process(std::process::id(), bench::cores::Core::ANY)?;
    Ok(Row {
        name: "call-round-trip",
        what: "a call with a number, answered by another process",
        unit: Unit::Nanoseconds,
        tables,
        aims: vec![Aim::MostTimes(1.3, "raw-seqpacket"), Aim::MostTimes(0.6, "cpython-pipe")],
        notes: vec![
            "raw-seqpacket: 40 bytes there and back through a pair of sockets, blocking on either side".to_owned(),
            "cpython-pipe: a number through multiprocessing.Pipe; no call, no identifier, no death to be told of"
                .to_owned(),
        ],
    })
}

struct Calls(SubjectHandle);

impl Calls {
    fn start(system: &System) -> Outcome<Self> {
        let subject = system.spawn::<crate::subject::Subject>(()).name("echo").start()?;
        Ok(Self(subject))
    }
}

impl Contender for Calls {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        // The supervisor's thread, too: the answer goes through it.
        pin_process(std::process::id(), place.writer)?;
        let pid = self.0.process_id().ok_or("call a process: it is gone")?;
        pin_process(pid as u32, place.reader)?;
        let mut samples = Vec::with_capacity(count as usize);
        for number in 0..u64::from(count) {
            let start = now_ns();
            let answer = self.0.echo(number).wait()?;
            samples.push((now_ns() - start) as f64);
            if answer != number {
                return Err("call a process: another answer came back".into());
            }
        }
        Ok(Turn { samples, ..Turn::default() })
    }
}
