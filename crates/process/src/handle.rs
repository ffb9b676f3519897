//! A process, seen from the one that spawned it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::{Serialize, de::DeserializeOwned};
use shm::{status::StatusPage, wire::Packet};

use crate::{
    Call, Events, Exit, State, System,
    connection::Connection,
    events::Listener,
    supervisor::{Order, Which},
    wakers::Place,
};

/// A process under supervision, over all its incarnations. Clones are handles on the same one.
///
/// Handles own their process: when the last one is dropped it is stopped, without anybody waiting for that, unless a process
/// lives that was spawned [`after`](crate::Spawn::after) it: then when that is gone. After
/// [`detach`](Self::detach) it ends with [`stop`](Self::stop), or with its [`System`].
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) system: System,
    pub(crate) connection: Arc<Connection>,
    pub(crate) status: Arc<StatusPage>,
    pub(crate) owner: Arc<Owner>,
}

/// Stops the process when the last handle goes, or lets go of it.
#[derive(Debug)]
pub(crate) struct Owner {
    pub system: System,
    pub id: u64,
    pub connection: Arc<Connection>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.system.give(if self.connection.is_detached() {
            Order::Disown(self.id)
        } else {
            Order::Stop { which: Which::Ids(vec![self.id]), grace: self.system.grace(), done: None }
        });
    }
}

impl Handle {
    /// Its name, unique in its system.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.connection.name
    }

    /// The page in which it says how it does.
    #[must_use]
    pub fn status(&self) -> &StatusPage {
        &self.status
    }

    /// Puts a command together; the typed handle's methods call this.
    pub fn call<C: Serialize, R: DeserializeOwned>(&self, command: &C) -> Call<R> {
        Call::new(self.connection.clone(), Packet::encode(command).map_err(|error| error.to_string()))
    }

    /// What it says unasked. `E` is the process's `Event`.
    #[must_use]
    pub fn events<E: DeserializeOwned>(&self) -> Events<E> {
        Events::new(self.connection.clone())
    }

    /// Has `hear` called with whatever it says unasked, in order, also with what nobody has read yet, and over all its
    /// incarnations, in place of [`events`](Self::events), and of who listened before. It is called on the supervisor's
    /// thread, so it must not wait, nor [`stop`](Self::stop) anything, which would wait for that thread: put it into a channel.
    ///
    /// If `hear` panics, that is logged, and it is called with the next event as ever.
    pub fn on_event<E: DeserializeOwned>(&self, hear: impl Fn(E) + Send + 'static) {
        let name = self.name().to_owned();
        self.connection.events.listen(
            &self.connection,
            Listener::new(move |event| match event.decode() {
                Ok(event) => hear(event),
                Err(error) => crate::logs::later!(warn, process = name, "an event was dropped: could not {error}"),
            }),
        );
        // What lies there already is heard on the supervisor's thread too, as all that comes.
        self.system.give(Order::Hear(self.connection.clone()));
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.connection.record().state
    }

    /// Whether an incarnation of it exists now.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.connection.record().pid.is_some()
    }

    /// The process identifier of its incarnation, while there is one. Signals go by [`kill`](Self::kill) and its like,
    /// which can't meet a stranger of the same number.
    #[must_use]
    pub fn process_id(&self) -> Option<i32> {
        self.connection.record().pid
    }

    /// How often it was started again after an end that wasn't planned.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.connection.record().restarts
    }

    /// How often it was replaced as planned ([`Spawn::recycle`](crate::Spawn::recycle)).
    #[must_use]
    pub fn recycled(&self) -> u64 {
        self.connection.record().recycled
    }

    /// How it ended, if it has ended and won't be started again.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.connection.record().end()
    }

    /// How its latest incarnation that ended did so, with the last lines that it wrote.
    #[must_use]
    pub fn last_exit(&self) -> Option<(Exit, Vec<String>)> {
        self.connection.record().exit
    }

    /// Waits until it has ended for good: by its own will and its restart policy, or because it was stopped.
    #[must_use = "it says how it ended"]
    pub fn join(&self) -> Exit {
        self.connection.join(None).unwrap_or(Exit::Unknown)
    }

    /// As [`join`](Self::join), but no longer than `limit`; with a limit of zero it only looks.
    #[must_use = "it says whether it ended"]
    pub fn join_for(&self, limit: Duration) -> Option<Exit> {
        match Instant::now().checked_add(limit) {
            Some(end) => self.connection.join(Some(end)),
            None => Some(self.join()),
        }
    }

    /// A future that is ready when it has ended for good, under any runtime. It can be dropped at any time.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended { connection: self.connection.clone(), place: Place::default() }
    }

    /// Stops it for good: asks, sends SIGTERM to its process group after seven eighths of `grace`, and SIGKILL when it is
    /// over. (A program that isn't ours can't be asked, and gets SIGTERM at once.) Returns when it is gone.
    pub fn stop(&self, grace: Duration) {
        self.system.stop_which(Which::Ids(vec![self.owner.id]), grace);
    }

    /// As [`stop`](Self::stop), and doesn't wait until it is gone. Nothing is kept of it then.
    pub(crate) fn stop_soon(&self, grace: Duration) {
        self.system.give(Order::Stop { which: Which::Ids(vec![self.owner.id]), grace, done: None });
    }

    /// Sends SIGTERM to it and its process group, and returns at once. As with all signals, what follows from its end
    /// is its restart policy's affair; [`stop`](Self::stop) ends it for good. While it is being
    /// [replaced](crate::Spawn::recycle), signals go to the incarnation at work.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGKILL to it and its process group, and returns at once.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Sends SIGINT to it and its process group, as a terminal does for Ctrl-C, and returns at once.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        self.system.give(Order::Signal { id: self.owner.id, signal });
    }

    /// Gives the process to its system: it isn't stopped any more when the last handle goes. Once it is over then, nothing is
    /// kept of it.
    pub fn detach(&self) {
        self.connection.detach();
    }
}

/// The end of a process, to be awaited ([`Handle::ended`]).
#[derive(Debug)]
pub struct Ended {
    connection: Arc<Connection>,
    place: Place,
}

impl Future for Ended {
    type Output = Exit;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Exit> {
        let Self { connection, place } = self.get_mut();
        connection.poll_end(place, cx.waker()).map_or(Poll::Pending, Poll::Ready)
    }
}
