//! Small items through a queue, as many as go.

use bench::{Outcome, cores::Placement, samples::now_ns};
use ipc_channel::ipc::{self, IpcOneShotServer, IpcReceiver, IpcSender};
use rustix::{
    fd::OwnedFd,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair},
};
use serde::{Deserialize, Serialize};
use shm::{
    arena::Arena,
    queue::{Queue, QueueOptions},
    wire::Passed,
};

use super::Effort;
use crate::{
    contender::{Contender, Entrant, Part, Turn, cpu_ns, in_turns},
    peer::{Control, Peer, Side},
    python::{Python, SCRIPT},
    raw::{Spsc, SpscTicket},
    report::{Aim, Row, Table, Unit},
};

pub fn row(effort: &Effort) -> Outcome<Row> {
    let mut entrants = [
        Entrant::new("raw-spsc", Part::Limit, Flow::start(spsc)),
        Entrant::new("framewire", Part::Ours, Flow::start(ours)),
        Entrant::new("ipc-channel", Part::Peer, Flow::start(ipc_channel)).slower(10),
        Entrant::new("unix-socket", Part::Peer, Flow::start(unix_socket)).slower(10),
        Entrant::new("cpython-queue", Part::Peer, Python::start(SCRIPT, "queue")).slower(20),
        Entrant::new("cpython-simplequeue", Part::Peer, Python::start(SCRIPT, "simple-queue")).slower(20),
    ];
    let tables = Placement::pinned()?.into_iter().rev().map(|place| {
        // Two that spin on one core only wait for each other's time to be over.
        let entrants = if place.writer == place.reader { &mut entrants[1..] } else { &mut entrants[..] };
        let measured = in_turns(place, entrants, effort.rounds, effort.of(200_000))?;
        Ok(Table::new(place.name, Unit::ItemsASecond, measured))
    });
    Ok(Row {
        name: "queue-1-to-1",
        what: "items of 8 bytes, one by one, from one process to another, in order, until the last is there",
        unit: Unit::ItemsASecond,
        tables: tables.collect::<Outcome<_>>()?,
        aims: vec![Aim::Least(3e6), Aim::LeastTimes(20.0, "cpython-queue")],
        notes: vec!["raw-spsc: a ring of 1024 words in plain shared memory, both sides spinning".to_owned()],
    })
}

/// The consumer's end, on its way to it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ticket {
    Ours(Queue<u64>),
    Spsc(SpscTicket),
    IpcChannel(String),
    UnixSocket(Passed),
}

/// Puts all of these numbers, one by one.
type Put = Box<dyn FnMut(std::ops::Range<u64>) -> Outcome>;

/// Lets the consumer in, and gives what puts.
type Ready = Box<dyn FnOnce() -> Outcome<Put>>;

/// This process's side.
struct Flow {
    put: Put,
    peer: Peer,
    next: u64,
}

impl Flow {
    fn start(open: fn() -> Outcome<(Ticket, Ready)>) -> Outcome<Self> {
        let (ticket, ready) = open()?;
        let peer = Peer::start(&super::Role::Queue(ticket))?;
        peer.hear::<()>()?;
        Ok(Self { put: ready()?, peer, next: 0 })
    }
}

impl Contender for Flow {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        place.writer.pin()?;
        self.peer.begin(place.reader, count)?;
        self.peer.hear::<()>()?; // it begins to take
        let (start, before) = (now_ns(), cpu_ns());
        (self.put)(self.next..self.next + u64::from(count))?;
        self.next += u64::from(count);
        let end: i64 = self.peer.hear()?;
        let cpu_ns = cpu_ns() - before + self.peer.end()?;
        let samples = vec![f64::from(count) * 1e9 / (end - start) as f64];
        Ok(Turn { samples, cpu_ns, operations: u64::from(count) })
    }
}

/// The other process's side.
pub struct Consumer {
    take: Take,
    next: u64,
}

/// Takes so many items, the first of which is this number, and checks that all are in order.
type Take = Box<dyn FnMut(u64, u32) -> Outcome>;

impl Consumer {
    pub fn new(ticket: Ticket, control: &Control) -> Outcome<Self> {
        let take: Take = match ticket {
            Ticket::Ours(queue) => taking(move || Ok(queue.get()?)),
            Ticket::Spsc(ticket) => {
                let mut queue = ticket.open()?;
                taking(move || Ok(queue.get()))
            }
            Ticket::IpcChannel(server) => {
                let (sender, receiver): (IpcSender<u64>, IpcReceiver<u64>) = ipc::channel()?;
                IpcSender::connect(server)?.send(sender)?;
                taking(move || Ok(receiver.recv()?))
            }
            Ticket::UnixSocket(socket) => {
                let socket = socket.into_owned()?;
                taking(move || {
                    let mut item = [0; 8];
                    recv(&socket, &mut item, RecvFlags::empty())?;
                    Ok(u64::from_ne_bytes(item))
                })
            }
        };
        control.tell(&())?;
        Ok(Self { take, next: 0 })
    }
}

impl Side for Consumer {
    fn turn(&mut self, control: &Control, count: u32) -> Outcome {
        control.tell(&())?;
        (self.take)(self.next, count)?;
        self.next += u64::from(count);
        control.tell(&now_ns())
    }
}

fn taking(mut get: impl FnMut() -> Outcome<u64> + 'static) -> Take {
    Box::new(move |first, count| {
        for expected in first..first + u64::from(count) {
            let item = get()?;
            if item != expected {
                return Err(format!("take items in order: {item} came for {expected}").into());
            }
        }
        Ok(())
    })
}

fn putting(mut put: impl FnMut(u64) -> Outcome + 'static) -> Put {
    Box::new(move |mut items| items.try_for_each(&mut put))
}

fn ours() -> Outcome<(Ticket, Ready)> {
    let options = QueueOptions { inline_bytes: 8, ..QueueOptions::default() };
    let queue = Queue::create(&Arena::create(options.bytes()?)?, options)?;
    let theirs = queue.clone();
    let put = putting(move |item| Ok(queue.put(item)?));
    Ok((Ticket::Ours(theirs), Box::new(|| Ok(put))))
}

fn spsc() -> Outcome<(Ticket, Ready)> {
    let (mut queue, ticket) = Spsc::create()?;
    let put = putting(move |item| {
        queue.put(item);
        Ok(())
    });
    Ok((Ticket::Spsc(ticket), Box::new(|| Ok(put))))
}

fn ipc_channel() -> Outcome<(Ticket, Ready)> {
    let (server, name) = IpcOneShotServer::<IpcSender<u64>>::new()?;
    let ready = move || {
        let (_, sender) = server.accept()?;
        Ok(putting(move |item| Ok(sender.send(item)?)))
    };
    Ok((Ticket::IpcChannel(name), Box::new(ready)))
}

fn unix_socket() -> Outcome<(Ticket, Ready)> {
    let (one, other): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let put = putting(move |item| {
        send(&one, &item.to_ne_bytes(), SendFlags::NOSIGNAL)?;
        Ok(())
    });
    Ok((Ticket::UnixSocket(Passed::new(other)), Box::new(|| Ok(put))))
}
