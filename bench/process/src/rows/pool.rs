//! Many tasks that take no time, each by itself.

use bench::{
    Outcome,
    contender::{Contender, Entrant, Part, Turn, in_turns},
    cores::Placement,
    rows::{Aim, Row, Table, Unit},
    samples::now_ns,
};
use process::{Pool, System};

use super::{Effort, anywhere};
use crate::{python, raw, subject::Subject};

const WORKERS: usize = 2;

pub fn row(system: &System, effort: &Effort) -> Outcome<Row> {
    let mut entrants = [
        Entrant::new("framewire", Part::Ours, Tasks::start(system)),
        Entrant::new("raw-seqpacket", Part::Limit, raw::Pipelined::start()),
        Entrant::new("cpython-pool", Part::Peer, python::start("pool")).slower(10),
    ];
    let measured = in_turns(anywhere()?, &mut entrants, effort.rounds, effort.of(300_000))?;
    Ok(Row {
        name: "pool-unchunked",
        what: "tasks that square a number, by two workers, one task a message; from the first to the last result",
        unit: Unit::ItemsASecond,
        tables: vec![Table::new("not pinned", Unit::ItemsASecond, measured)],
        aims: vec![Aim::Least(300_000.0), Aim::LeastTimes(5.0, "cpython-pool")],
        notes: vec![
            "raw-seqpacket: 40 bytes there and back by two bare sockets, 64 on their way in each; ours goes by shared memory"
                .to_owned(),
            "cpython-pool: multiprocessing.Pool(2).map(…, chunksize=1)".to_owned(),
        ],
    })
}

struct Tasks(Pool<Subject>);

impl Tasks {
    fn start(system: &System) -> Outcome<Self> {
        Ok(Self(system.pool::<Subject>(WORKERS, |_| ())?))
    }
}

impl Contender for Tasks {
    fn turn(&mut self, _place: Placement, count: u32) -> Outcome<Turn> {
        let begun = now_ns();
        let results = self.0.map(0..u64::from(count), |worker, number| worker.square(number))?;
        let seconds = (now_ns() - begun) as f64 / 1e9;
        for (number, result) in (0..).zip(results) {
            if result? != number * number {
                return Err("have a task done: another one's result came back".into());
            }
        }
        Ok(Turn { samples: vec![f64::from(count) / seconds], ..Turn::default() })
    }
}
