//! One picture for eight readers: what that costs its writer, beside one reader.

use std::{fs, hint, thread};

use bench::{
    Outcome,
    cores::Placement,
    picture::{BYTES, Picture, sum},
    samples::now_ns,
};

use super::{Effort, Role, two_cores};
use crate::{
    contender::{Contender, Entrant, Part, Turn, cpu_ns, in_turns},
    peer::{Control, Peer, Side},
    python::{Python, SCRIPT},
    report::{Aim, Row, Table, Unit},
    ways::{Lane, Reads, Ticket, Wait, Way, Writes},
};

const READERS: usize = 8;

/// The first of each turn bring the memory into the caches as later ones find it.
const WARM_UP: u32 = 3;

pub fn row(effort: &Effort) -> Outcome<Row> {
    let entrant = |name, part, way, readers| Entrant::new(name, part, FanOut::start(way, readers));
    let mut entrants = [
        entrant("framewire", Part::Ours, Way::Ring, READERS),
        entrant("framewire-1-reader", Part::Limit, Way::Ring, 1),
        entrant("raw-memory+eventfd", Part::Peer, Way::Raw, READERS),
        entrant("raw-memory+eventfd-1-reader", Part::Peer, Way::Raw, 1),
        entrant("iceoryx2", Part::Peer, Way::Iceoryx, READERS),
        entrant("iceoryx2-1-reader", Part::Peer, Way::Iceoryx, 1),
        entrant("ipc-channel", Part::Peer, Way::IpcChannel, READERS),
        entrant("unix-socket", Part::Peer, Way::UnixSocket, READERS),
        Entrant::new("cpython-sharedmemory", Part::Peer, Python::start(SCRIPT, "fan-out")),
    ];
    // Readers that wake on the writer's core would be counted as its time.
    let place = two_cores()?;
    let measured = in_turns(place, &mut entrants, effort.rounds, effort.of(10))?;
    Ok(Row {
        name: "fan-out-8",
        what: "6.2 MB written once for 8 sleepers in processes of their own: the writer's time, until it can go on",
        unit: Unit::Nanoseconds,
        tables: vec![Table::new(place.name, Unit::Nanoseconds, measured)],
        aims: vec![Aim::MostTimes(1.1, "framewire-1-reader")],
        notes: vec!["each time all 8 readers slept before, and had the whole picture after".to_owned()],
    })
}

/// This process's side.
struct FanOut {
    picture: [Picture; 2],
    writes: Box<dyn Writes>,
    peers: Vec<Peer>,
}

impl FanOut {
    fn start(way: Way, readers: usize) -> Outcome<Self> {
        let lane = Lane { way, bytes: BYTES, readers, wait: Wait::Asleep };
        let (mut writes, tickets) = lane.open()?;
        let peers = tickets.into_iter().map(|ticket| Peer::start(&Role::FanOut(lane, ticket)));
        let peers = peers.collect::<Outcome<Vec<_>>>()?;
        peers.iter().try_for_each(Peer::hear::<()>)?;
        writes.ready()?;
        Ok(Self { picture: [Picture::new(3), Picture::new(7)], writes, peers })
    }
}

impl Contender for FanOut {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        self.peers.iter().try_for_each(|peer| peer.begin(place.reader, WARM_UP + count))?;
        let mut turn = Turn { operations: u64::from(count), ..Turn::default() };
        for pass in 0..WARM_UP + count {
            self.peers.iter().try_for_each(|peer| falls_asleep(peer.pid()))?;
            let picture = &self.picture[pass as usize % 2];
            let (start, before) = (now_ns(), cpu_ns());
            self.writes.write(&picture.bytes)?;
            let (end, worked) = (now_ns(), cpu_ns() - before);
            for peer in &self.peers {
                if peer.hear::<u64>()? != picture.sum {
                    return Err("hand a frame to all readers: one saw other bytes".into());
                }
            }
            if pass >= WARM_UP {
                turn.samples.push((end - start) as f64);
                turn.cpu_ns += worked;
            }
        }
        self.peers.iter().try_for_each(|peer| peer.end().map(drop))?;
        Ok(turn)
    }
}

/// The other process's side.
pub struct Viewer(Box<dyn Reads>);

impl Viewer {
    pub fn new(lane: &Lane, ticket: Ticket, control: &Control) -> Outcome<Self> {
        let reads = ticket.open(lane)?;
        control.tell(&())?;
        Ok(Self(reads))
    }
}

impl Side for Viewer {
    fn turn(&mut self, control: &Control, count: u32) -> Outcome {
        for _ in 0..count {
            let mut seen = 0;
            self.0.read(&mut |bytes| seen = sum(bytes))?;
            control.tell(&seen)?;
        }
        Ok(())
    }
}

/// Waits until that process's only thread sleeps, by the kernel's word.
fn falls_asleep(pid: u32) -> Outcome {
    loop {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        match state {
            Some('S') => return Ok(()),
            Some('Z' | 'X') | None => return Err("wait for a reader to fall asleep: it is dead".into()),
            Some(_) => thread::yield_now(),
        }
        hint::spin_loop();
    }
}
