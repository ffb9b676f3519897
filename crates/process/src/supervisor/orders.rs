//! What other threads ask of the supervisor.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use shm::{doorbell::Doorbell, status::StatusPage};

use super::Change;
use crate::{Restart, connection::Connection, launch::Blueprint};

#[derive(Debug)]
pub(crate) enum Order {
    /// Start a process and keep it going.
    Start(Box<Plan>),
    /// Stop some (`None`: all), for good; `done` hears when they are gone.
    Stop { names: Option<Vec<String>>, grace: Duration, done: Sender<()> },
    /// Keep nothing of a process that is over, as if it had never been.
    Forget(String),
    /// Tell of every change from now on.
    Watch(Sender<Change>),
}

/// All about a process that doesn't change.
#[derive(Debug)]
pub(crate) struct Plan {
    pub blueprint: Blueprint,
    pub restart: Restart,
    pub ready_within: Duration,
    pub connection: Arc<Connection>,
    pub status: Arc<StatusPage>,
    /// Hears how the first start went.
    pub ready: Sender<Result<(), String>>,
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

    pub(crate) fn give(&self, order: Order) {
        // The supervisor doesn't end before the process does.
        let _ = self.sender.send(order);
        self.bell.ring();
    }
}

impl Received {
    pub(crate) fn bell(&self) -> &Doorbell {
        &self.bell
    }

    pub(crate) fn quiet(&self) {
        self.bell.quiet();
    }

    pub(crate) fn next(&self) -> Option<Order> {
        self.receiver.try_recv().ok()
    }
}
