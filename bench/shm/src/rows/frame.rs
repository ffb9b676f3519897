//! A picture, from the first byte written to the last byte read.

use bench::{
    Outcome,
    cores::Placement,
    picture::{Alone, BYTES, Picture, sum},
    samples::now_ns,
};

use super::{Effort, Role};
use crate::{
    contender::{Contender, Entrant, Part, Turn, cpu_ns, in_turns},
    peer::{Control, Peer, Side},
    python::{Python, SCAN_NOTE, SCRIPT},
    report::{Aim, Row, Table, Unit},
    ways::{Lane, Reads, Ticket, Wait, Way, Writes},
};

/// The first of each turn bring the memory into the caches as later ones find it.
const WARM_UP: u32 = 3;

/// An answer: when the last byte was read, and the sum.
const ANSWER_BYTES: usize = 16;

/// A ring goes round in its `depth` newest slots and the one that is written.
const BUFFERS: usize = 2;

pub fn row(effort: &Effort) -> Outcome<Row> {
    let entrant = |part, way: Way| Entrant::new(way.name(), part, Passing::start(way));
    let mut entrants = [
        entrant(Part::Ours, Way::Ring),
        Entrant::new("memcpy+scan", Part::Limit, Ok(OneThread::new())),
        entrant(Part::Peer, Way::Iceoryx),
        entrant(Part::Peer, Way::IceoryxKeeping),
        Entrant::new("raw-memory+eventfd", Part::Peer, Passing::start(Way::Raw)),
        entrant(Part::Peer, Way::IpcChannel),
        entrant(Part::Peer, Way::UnixSocket),
        Entrant::new("cpython-sharedmemory", Part::Peer, Python::start(SCRIPT, "frame")),
    ];
    let tables = Placement::pinned()?.into_iter().rev().map(|place| {
        let measured = in_turns(place, &mut entrants, effort.rounds, effort.of(20))?;
        Ok(Table::new(place.name, Unit::Nanoseconds, measured))
    });
    Ok(Row {
        name: "frame-1080p",
        what: "6.2 MB copied into a frame, read (summed) by a sleeper in another process; first byte to last",
        unit: Unit::Nanoseconds,
        tables: tables.collect::<Outcome<_>>()?,
        aims: vec![Aim::MostTimes(1.10, "memcpy+scan"), Aim::MostTimes(0.85, "iceoryx2")],
        notes: vec![
            "memcpy+scan: in one thread, with nobody to wake; raw-memory+eventfd: two processes, no protocol"
                .to_owned(),
            "iceoryx2 forgets what was read, and writes the next frame where the last one was; with a history of 1 it keeps \
             the newest for late comers, as a ring does, and goes round in two places"
                .to_owned(),
            SCAN_NOTE.to_owned(),
        ],
    })
}

/// Two pictures in turn, so that a reader that saw the frame before would be found out.
struct Pictures([Picture; 2]);

impl Pictures {
    fn new() -> Self {
        Self([Picture::new(3), Picture::new(7)])
    }

    fn turn(&self, count: u32, mut pass: impl FnMut(&[u8]) -> Outcome<(i64, i64, u64)>) -> Outcome<Vec<f64>> {
        let mut samples = Vec::with_capacity(count as usize);
        for turn in 0..WARM_UP + count {
            let picture = &self.0[turn as usize % 2];
            let (start, read, sum) = pass(&picture.bytes)?;
            if sum != picture.sum {
                return Err("hand a frame over whole: its reader saw other bytes".into());
            }
            if turn >= WARM_UP {
                samples.push((read - start) as f64);
            }
        }
        Ok(samples)
    }
}

struct OneThread {
    pictures: Pictures,
    alone: Alone,
}

impl OneThread {
    fn new() -> Self {
        Self { pictures: Pictures::new(), alone: Alone::new(BUFFERS) }
    }
}

impl Contender for OneThread {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        let before = cpu_ns();
        let samples = self.pictures.turn(count, |picture| {
            let (times, sum) = self.alone.pass(picture);
            Ok((times.start, times.read, sum))
        })?;
        Ok(Turn { samples, cpu_ns: cpu_ns() - before, operations: u64::from(WARM_UP + count) })
    }
}

/// This process's side.
struct Passing {
    pictures: Pictures,
    writes: Box<dyn Writes>,
    answers: Box<dyn Reads>,
    peer: Peer,
}

impl Passing {
    fn start(way: Way) -> Outcome<Self> {
        let lane = Lane::new(way, BYTES, Wait::Asleep);
        let (mut writes, tickets) = lane.open()?;
        let ticket = tickets.into_iter().next().ok_or("open a lane: it has no reader")?;
        let peer = Peer::start(&Role::Pictures(lane, ticket))?;
        let back: Ticket = peer.hear()?;
        let answers = back.open(&answer_lane(way))?;
        peer.tell(&())?;
        writes.ready()?;
        peer.hear::<()>()?;
        Ok(Self { pictures: Pictures::new(), writes, answers, peer })
    }
}

impl Contender for Passing {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        self.peer.begin(place.reader, WARM_UP + count)?;
        let before = cpu_ns();
        let samples = self.pictures.turn(count, |picture| {
            let start = now_ns();
            self.writes.write(picture)?;
            let mut answer = [0; 2];
            self.answers.read(&mut |bytes| {
                for (word, place) in answer.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *word = u64::from_ne_bytes(*place);
                }
            })?;
            Ok((start, answer[0].cast_signed(), answer[1]))
        })?;
        let cpu_ns = cpu_ns() - before + self.peer.end()?;
        Ok(Turn { samples, cpu_ns, operations: u64::from(WARM_UP + count) })
    }
}

/// The other process's side.
pub struct Viewer {
    reads: Box<dyn Reads>,
    answers: Box<dyn Writes>,
}

impl Viewer {
    pub fn new(lane: &Lane, ticket: Ticket, control: &Control) -> Outcome<Self> {
        let reads = ticket.open(lane)?;
        let (mut answers, tickets) = answer_lane(lane.way).open()?;
        control.tell(&tickets.into_iter().next())?;
        control.hear::<()>()?;
        answers.ready()?;
        control.tell(&())?;
        Ok(Self { reads, answers })
    }
}

impl Side for Viewer {
    fn turn(&mut self, _control: &Control, count: u32) -> Outcome {
        for _ in 0..count {
            let mut answer = [0; ANSWER_BYTES];
            self.reads.read(&mut |bytes| {
                let sum = sum(bytes);
                answer[..8].copy_from_slice(&now_ns().to_ne_bytes());
                answer[8..].copy_from_slice(&sum.to_ne_bytes());
            })?;
            self.answers.write(&answer)?;
        }
        Ok(())
    }
}

fn answer_lane(way: Way) -> Lane {
    Lane::new(way, ANSWER_BYTES, Wait::Asleep)
}
