//! A small message there and back.

use bench::{Outcome, cores::Placement, samples::now_ns};

use super::{Effort, Role, two_cores};
use crate::{
    contender::{Contender, Entrant, Part, Turn, cpu_ns, in_turns},
    peer::{Control, Peer, Side},
    python::{Python, SCRIPT},
    report::{Aim, Row, Table, Unit},
    ways::{Lane, Reads, Ticket, Wait, Way, Writes},
};

/// What goes there and back.
const BYTES: usize = 64;
type Message = [u64; BYTES / 8];

/// The first few of each turn bring code and data into the caches, and find the other side awake.
const WARM_UP: u32 = 20;

/// Between sleepers.
pub fn asleep(effort: &Effort) -> Outcome<Row> {
    let entrant =
        |part, way| Entrant::new(way_name(way), part, PingPong::start(Lane::new(way, BYTES, Wait::Asleep), 1));
    let mut entrants = [
        entrant(Part::Ours, Way::Ring),
        entrant(Part::Limit, Way::Raw),
        entrant(Part::Peer, Way::Iceoryx),
        entrant(Part::Peer, Way::IpcChannel),
        entrant(Part::Peer, Way::UnixSocket),
        Entrant::new("cpython-pipe", Part::Peer, Python::start(SCRIPT, "pipe")),
    ];
    // Programs are told of one core, where software is what it takes: to wake another one takes as long as the machine's
    // interrupts do, whoever asks for it.
    let tables = Placement::pinned()?.into_iter().chain(Placement::any()).map(|place| {
        let measured = in_turns(place, &mut entrants, effort.rounds, effort.of(500))?;
        Ok(Table::new(place.name, Unit::Nanoseconds, measured))
    });
    Ok(Row {
        name: "round-trip-64b",
        what: "64 bytes written, read by a sleeper in another process, written back, read",
        unit: Unit::Nanoseconds,
        tables: tables.collect::<Outcome<_>>()?,
        aims: vec![Aim::MostTimes(0.6, "iceoryx2"), Aim::MostTimes(1.25, "raw-eventfd")],
        notes: vec!["raw-eventfd: plain shared memory, a blocking read of an eventfd on either side".to_owned()],
    })
}

/// Between readers that look all the time: half of there and back.
pub fn spinning(effort: &Effort) -> Outcome<Row> {
    let entrant =
        |part, way: Way| Entrant::new(way.name(), part, PingPong::start(Lane::new(way, BYTES, Wait::Spinning), 2));
    let mut entrants =
        [entrant(Part::Ours, Way::Ring), entrant(Part::Limit, Way::Raw), entrant(Part::Peer, Way::Iceoryx)];
    // Two that spin on one core only wait for each other's time to be over.
    let place = two_cores()?;
    if place.reader == place.writer {
        return Err("spin: it takes two cores, and this process may run on one".into());
    }
    let measured = in_turns(place, &mut entrants, effort.rounds, effort.of(20_000))?;
    Ok(Row {
        name: "spin-one-way",
        what: "64 bytes written until read by a reader that spins in another process; half of there and back",
        unit: Unit::Nanoseconds,
        tables: vec![Table::new(place.name, Unit::Nanoseconds, measured)],
        aims: vec![Aim::Most(300.0)],
        notes: Vec::new(),
    })
}

fn way_name(way: Way) -> &'static str {
    if way == Way::Raw { "raw-eventfd" } else { way.name() }
}

/// This process's side.
struct PingPong {
    writes: Box<dyn Writes>,
    reads: Box<dyn Reads>,
    peer: Peer,
    /// A time there and back divided by this is a sample.
    divisor: f64,
    sent: u64,
}

impl PingPong {
    fn start(lane: Lane, ways: u32) -> Outcome<Self> {
        let (mut writes, tickets) = lane.open()?;
        let ticket = tickets.into_iter().next().ok_or("open a lane: it has no reader")?;
        let peer = Peer::start(&Role::Echo(lane, ticket))?;
        let back: Ticket = peer.hear()?;
        let reads = back.open(&lane)?;
        peer.tell(&())?;
        writes.ready()?;
        peer.hear::<()>()?;
        Ok(Self { writes, reads, peer, divisor: f64::from(ways), sent: 0 })
    }

    fn pass(&mut self) -> Outcome {
        self.sent += 1;
        write(&mut *self.writes, [self.sent; BYTES / 8])?;
        if read(&mut *self.reads)? == [self.sent; BYTES / 8] {
            Ok(())
        } else {
            Err("pass a message there and back: it came back changed".into())
        }
    }
}

impl Contender for PingPong {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        self.peer.begin(place.reader, WARM_UP + count)?;
        for _ in 0..WARM_UP {
            self.pass()?;
        }
        let (mut samples, before) = (Vec::with_capacity(count as usize), cpu_ns());
        for _ in 0..count {
            let start = now_ns();
            self.pass()?;
            samples.push((now_ns() - start) as f64 / self.divisor);
        }
        let ours = cpu_ns() - before;
        let theirs = self.peer.end()? * u64::from(count) / u64::from(WARM_UP + count);
        Ok(Turn { samples, cpu_ns: ours + theirs, operations: u64::from(count) })
    }
}

/// The other process's side.
pub struct Echo {
    writes: Box<dyn Writes>,
    reads: Box<dyn Reads>,
}

impl Echo {
    pub fn new(lane: &Lane, ticket: Ticket, control: &Control) -> Outcome<Self> {
        let reads = ticket.open(lane)?;
        let (mut writes, tickets) = lane.open()?;
        control.tell(&tickets.into_iter().next())?;
        control.hear::<()>()?;
        writes.ready()?;
        control.tell(&())?;
        Ok(Self { writes, reads })
    }
}

impl Side for Echo {
    fn turn(&mut self, _control: &Control, count: u32) -> Outcome {
        for _ in 0..count {
            let message = read(&mut *self.reads)?;
            if message.iter().any(|word| *word != message[0]) {
                return Err("give a message back: it came torn".into());
            }
            write(&mut *self.writes, message)?;
        }
        Ok(())
    }
}

fn write(writes: &mut dyn Writes, message: Message) -> Outcome {
    let mut bytes = [0; BYTES];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(message) {
        *place = word.to_ne_bytes();
    }
    writes.write(&bytes)
}

fn read(reads: &mut dyn Reads) -> Outcome<Message> {
    let mut message = [0; BYTES / 8];
    reads.read(&mut |bytes| {
        for (word, place) in message.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_ne_bytes(*place);
        }
    })?;
    Ok(message)
}
