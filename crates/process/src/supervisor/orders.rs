//! What other threads ask of the supervisor.

use std::{
    io,
    sync::{
        Arc, Weak,
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use shm::{doorbell::Doorbell, status::StatusPage};

use super::{Census, GroupPlan};
use crate::{
    Executable, Exit, Recycle, Restart,
    cgroup::Tree,
    changes::Stream,
    connection::Connection,
    launch::{Blueprint, Launchers},
};

#[derive(Debug)]
pub(crate) enum Order {
    /// Start a process and keep it going.
    Start(Box<Plan>),
    /// Stop some, for good; `done` hears when they are gone.
    Stop { which: Which, grace: Duration, done: Option<Sender<()>> },
    /// Stop all at the program's end; if they are being stopped already, that stop is waited for and no more.
    End { grace: Duration, done: Sender<()> },
    /// Nobody can reach this process any more, and yet it isn't stopped: it is forgotten once it is over.
    Disown(u64),
    /// Make a group.
    Group(GroupPlan),
    /// Stop a group for good, in its order; `done` hears when all are gone.
    StopGroup { id: u64, grace: Duration, done: Sender<()> },
    /// Nobody can reach this group any more.
    ForgetGroup(u64),
    /// The stacks of a process that is about to be killed.
    Stacks { id: u64, pid: i32, lines: Vec<String> },
    /// Send a signal to one, if it lives.
    Signal { id: u64, signal: Signal },
    /// A caller has read something of an incarnation that is to be looked at.
    Look { id: u64, slot: u64 },
    /// Have a process's new listener hear the events that nobody has read.
    Hear(Arc<Connection>),
    /// Tell of every change from now on.
    Watch(Weak<Stream>),
    /// Ring with every change from now on.
    Attend(Doorbell),
    /// Start the zygote that this becomes; `done` hears that it is on its way.
    Prepare { launchers: Launchers, of: Executable, within: Duration, done: Sender<()> },
    /// Nobody can reach this system any more: it is over once all its processes are.
    Leave(Launchers),
    /// Say how all of them do.
    Census(Sender<Census>),
}

/// Which processes.
#[derive(Debug)]
pub(crate) enum Which {
    All,
    Names(Vec<String>),
    Ids(Vec<u64>),
}

/// All about a process that doesn't change.
#[derive(Debug)]
pub(crate) struct Plan {
    pub id: u64,
    /// Since when it is wanted: what its application had given up by then, it doesn't get.
    pub asked_at: Instant,
    pub blueprint: Blueprint,
    pub restart: Restart,
    /// The group it is in, and its level there.
    pub group: Option<(u64, Option<u32>)>,
    pub ready_within: Duration,
    /// A foreign program is ready when it has written this.
    pub ready_line: Option<String>,
    pub memory_limit: Option<u64>,
    pub recycle: Option<Recycle>,
    /// Where its control groups are made.
    pub tree: Option<Tree>,
    /// Whom it needs: it is stopped before them when all are.
    pub after: Vec<u64>,
    pub responsive_within: Option<Duration>,
    pub connection: Arc<Connection>,
    pub status: Arc<StatusPage>,
    /// Hears how the first start went.
    pub ready: Sender<Result<(), NotStarted>>,
}

/// Why a first start went wrong.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub why: String,
    pub exit: Option<Exit>,
}

impl From<&str> for NotStarted {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), exit: None }
    }
}

/// Where orders are given.
#[derive(Clone, Debug)]
pub(crate) struct Orders {
    sender: Sender<Order>,
    bell: Doorbell,
}

/// Where they arrive.
#[derive(Debug)]
pub(crate) struct Received {
    receiver: Receiver<Order>,
    bell: Doorbell,
}

impl Orders {
    pub(crate) fn new() -> io::Result<(Self, Received)> {
        let ((sender, receiver), bell) = (mpsc::channel(), Doorbell::new()?);
        Ok((Self { sender, bell: bell.clone() }, Received { receiver, bell }))
    }

    /// What ends the supervisor's sleep.
    pub(crate) fn bell(&self) -> &Doorbell {
        &self.bell
    }

    pub(crate) fn give(&self, order: Order) {
        // It ends only when nobody can reach it, so whoever speaks to it then has nothing to say that matters.
        let _ = self.sender.send(order);
        self.bell.ring();
    }
}

impl Received {
    pub(crate) fn quiet(&self) {
        self.bell.quiet();
    }

    pub(crate) fn next(&self) -> Option<Order> {
        self.receiver.try_recv().ok()
    }
}
