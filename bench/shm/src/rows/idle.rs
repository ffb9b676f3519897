//! Nothing to do: how often anybody wakes all the same, by the kernel's own counters.

use std::{fs, mem::MaybeUninit, thread, time::Duration};

use bench::{Outcome, cores::Placement};
use iceoryx2::prelude::{CallbackProgression, WaitSetBuilder, ipc};
use rustix::{
    event::{Timespec, epoll},
    process::{Resource, getrlimit, setrlimit},
};
use serde::{Deserialize, Serialize};
use shm::{
    doorbell::Doorbell,
    ring::{Info, Policy, Reader, RingOptions, Wish, Writer},
    wire::{Passed, Socket},
};

use super::Effort;
use crate::{
    contender::{Contender, Entrant, Part, Turn, in_turns},
    peer::{Control, Peer, Side},
    report::{Aim, Row, Table, Unit},
    ways::iceoryx,
};

const RINGS: usize = 64;
const READERS: usize = 4;

/// What shows that the kernel's counters count.
const TICKS_A_SECOND: u32 = 10;

pub fn row(effort: &Effort) -> Outcome<Row> {
    let patience = effort.patience();
    let entrant = |name, part, processes: Outcome<Vec<Peer>>| {
        Entrant::new(name, part, processes.map(|processes| Still { processes, patience }))
    };
    let mut entrants = [
        entrant("framewire", Part::Ours, rings()),
        entrant("a-blocked-read", Part::Limit, one(Role::Blocked)),
        entrant("iceoryx2", Part::Peer, services()),
        entrant("control-ticking-at-10-hz", Part::Peer, one(Role::Ticking)),
    ];
    let place = super::two_cores()?;
    let measured = in_turns(place, &mut entrants, 1, 1)?;
    Ok(Row {
        name: "idle-wakeups",
        what: "64 rings with 4 readers each, in 5 processes, and no traffic: context switches of all their threads",
        unit: Unit::WakeUpsASecond,
        tables: vec![Table::new("any core", Unit::WakeUpsASecond, measured)],
        aims: vec![Aim::Most(0.0)],
        notes: vec![
            format!("each for {:.1} s; the control ticks to show that the counters count", patience.as_secs_f64()),
            "iceoryx2: 64 services with an event each, 4 processes with a WaitSet of 64 listeners".to_owned(),
        ],
    })
}

/// Processes that shall do nothing.
struct Still {
    processes: Vec<Peer>,
    patience: Duration,
}

impl Contender for Still {
    fn turn(&mut self, _place: Placement, _count: u32) -> Outcome<Turn> {
        let switches = || self.processes.iter().map(|peer| switches(peer.pid())).sum::<Outcome<u64>>();
        // They have just been started, and may still be about to fall asleep.
        let mut before = switches()?;
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(50)); // sleep: looks whether anything happens
            let now = switches()?;
            if now == std::mem::replace(&mut before, now) {
                break;
            }
        }
        thread::sleep(self.patience); // sleep: what is measured is that nothing happens in this time
        let count = switches()? - before;
        Ok(Turn { samples: vec![count as f64 / self.patience.as_secs_f64()], ..Turn::default() })
    }
}

/// How often the kernel has let any thread of a process run or stop.
fn switches(pid: u32) -> Outcome<u64> {
    let mut count = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
        count += counts.sum::<u64>();
    }
    Ok(count)
}

/// What an idle process has.
#[derive(Debug, Serialize, Deserialize)]
pub enum Role {
    /// The writing ends of all rings; it waits for readers that come or go.
    Writers,
    /// One reading end of each ring, and one doorbell.
    Readers,
    /// One listener and subscriber of each service.
    Services(Vec<iceoryx::Ticket>),
    /// A read that never ends.
    Blocked,
    /// A sleep that ends ten times a second.
    Ticking,
}

/// Never asked for a turn: it is idle.
struct Idle;

impl Side for Idle {
    fn turn(&mut self, _control: &Control, _count: u32) -> Outcome {
        Ok(())
    }
}

impl Role {
    pub fn take(self, control: &Control) -> Outcome<Box<dyn Side>> {
        // 64 rings with 4 readers are more descriptors than a process has by default.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })?;
        match self {
            Self::Writers => wait_for_readers(control)?,
            Self::Readers => wait_for_frames(control)?,
            Self::Services(tickets) => wait_for_events(control, &tickets)?,
            // What follows is a read for orders, which never come.
            Self::Blocked => control.tell(&())?,
            Self::Ticking => {
                control.tell(&())?;
                loop {
                    thread::sleep(Duration::from_secs(1) / TICKS_A_SECOND); // sleep: it is the control
                }
            }
        }
        Ok(Box::new(Idle))
    }
}

fn one(role: Role) -> Outcome<Vec<Peer>> {
    let peer = Peer::start(&super::Role::Idle(role))?;
    peer.hear::<()>()?;
    Ok(vec![peer])
}

/// A process with all rings, and those that read them.
fn rings() -> Outcome<Vec<Peer>> {
    let writers = Peer::start(&super::Role::Idle(Role::Writers))?;
    let mut processes = Vec::new();
    for _ in 0..READERS {
        let sessions: Vec<Passed> = writers.hear()?;
        let readers = Peer::start(&super::Role::Idle(Role::Readers))?;
        readers.tell(&sessions)?;
        processes.push(readers);
    }
    // Each has read one frame of each ring.
    processes.iter().try_for_each(Peer::hear::<()>)?;
    processes.push(writers);
    Ok(processes)
}

fn wait_for_readers(control: &Control) -> Outcome {
    let options = RingOptions { depth: 1, frame_bytes: 64 };
    let mut writers = (0..RINGS).map(|_| Ok(Writer::create(options)?)).collect::<Outcome<Vec<_>>>()?;
    for _ in 0..READERS {
        let sessions = writers.iter().map(|writer| {
            let (ours, theirs) = Socket::pair()?;
            writer.port().add(ours)?;
            Ok(Passed::new(theirs.into_owned()))
        });
        control.tell(&sessions.collect::<Outcome<Vec<_>>>()?)?;
    }
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let descriptors = writers.iter().map(|writer| writer.port().descriptor()).collect::<Result<Vec<_>, _>>()?;
    for descriptor in &descriptors {
        epoll::add(&epoll, descriptor, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    }
    let mut published = false;
    loop {
        writers.iter().for_each(|writer| writer.port().service());
        if !published && writers.iter().all(|writer| writer.port().readers() == READERS) {
            for writer in &mut writers {
                writer.reserve(64)?.publish(Info::default());
            }
            published = true;
        }
        sleep(&epoll)?;
    }
}

fn wait_for_frames(control: &Control) -> Outcome {
    let sessions: Vec<Passed> = control.hear()?;
    let (bell, epoll) = (Doorbell::new()?, epoll::create(epoll::CreateFlags::CLOEXEC)?);
    epoll::add(&epoll, &bell, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?;
    let mut readers = Vec::new();
    for session in sessions {
        let session = Socket::from_owned(session.into_owned()?);
        let reader = Reader::connect(session, &bell, Wish { policy: Policy::Latest, leases: 1 })?;
        epoll::add(&epoll, &reader, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        readers.push(reader);
    }
    let mut seen = 0;
    loop {
        bell.quiet();
        for reader in &mut readers {
            reader.service()?;
            seen += usize::from(reader.try_next()?.is_some());
        }
        if seen == RINGS {
            control.tell(&())?;
            seen += 1;
        }
        if readers.iter().all(Reader::arm) {
            sleep(&epoll)?;
        }
    }
}

fn sleep(epoll: &rustix::fd::OwnedFd) -> Outcome {
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); 1];
    epoll::wait(epoll, &mut events, None::<&Timespec>)?;
    Ok(())
}

/// As many services, and processes that wait for their events.
fn services() -> Outcome<Vec<Peer>> {
    let tickets: Vec<_> = (0..RINGS).map(|_| iceoryx::Ticket::new(0)).collect();
    let processes = (0..READERS).map(|_| one(Role::Services(tickets.clone())));
    Ok(processes.collect::<Outcome<Vec<_>>>()?.into_iter().flatten().collect())
}

fn wait_for_events(control: &Control, tickets: &[iceoryx::Ticket]) -> Outcome {
    let services = tickets.iter().map(iceoryx::Ticket::service).collect::<Outcome<Vec<_>>>()?;
    let subscribers = services.iter().map(|service| Ok(service.payloads.subscriber_builder().create()?));
    let subscribers = subscribers.collect::<Outcome<Vec<_>>>()?;
    let listeners = services.iter().map(|service| Ok(service.events.listener_builder().create()?));
    let listeners = listeners.collect::<Outcome<Vec<_>>>()?;
    let waiting = WaitSetBuilder::new().create::<ipc::Service>()?;
    let _attached = listeners.iter().map(|one| Ok(waiting.attach_notification(one)?)).collect::<Outcome<Vec<_>>>()?;
    control.tell(&())?;
    waiting.wait_and_process(|_| CallbackProgression::Continue)?;
    drop(subscribers);
    Ok(())
}
