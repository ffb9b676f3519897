//! What a process can reach outside of itself.

use std::{
    cell::Cell,
    fmt, io,
    marker::PhantomData,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, OnceLock},
    time::Instant,
};

use rustix::event::epoll;
use shm::{
    doorbell::Doorbell,
    status::{Number, StatusPage},
    wire::Packet,
};

use super::{Line, Voice, control::Inbox, emit::Emitter, event_loop, standby};
use crate::{BoxError, Process, System, grace::for_children, program::Table};

type Callback<P> = Arc<dyn Fn(&mut P, &mut Context<P>) -> Result<(), BoxError>>;

/// A process's view of the world: its name, its status page, its parent, and what its event loop waits for.
pub struct Context<P: Process> {
    name: String,
    line: Line,
    emitter: Arc<Emitter>,
    inbox: Arc<Inbox>,
    status: Arc<StatusPage>,
    bell: Doorbell,
    /// What was last written as [`Number::Heartbeat`].
    beat: Cell<u64>,
    pub(super) epoll: OwnedFd,
    pub(super) watched: Vec<Watched<P>>,
    next_token: u64,
    /// All that this program can become, for children of its own.
    table: Table,
    children: OnceLock<System>,
    kind: PhantomData<fn(P)>,
}

pub(super) struct Watched<P: Process> {
    pub token: u64,
    descriptor: OwnedFd,
    pub callback: Callback<P>,
}

/// A descriptor being watched; [`Context::unwatch`] takes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "it is what ends the watch"]
pub struct Watch(u64);

impl<P: Process> Context<P> {
    pub(super) fn new(
        name: String,
        line: Line,
        status: Arc<StatusPage>,
        table: Table,
        emitter: Arc<Emitter>,
        inbox: Arc<Inbox>,
    ) -> Result<Self, BoxError> {
        let (bell, epoll) = (Doorbell::new()?, epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(event_loop::BELL), epoll::EventFlags::IN)?;
        epoll::add(&epoll, &line, epoll::EventData::new_u64(event_loop::LINE), standby::IN_TURNS)?;
        let next_token = event_loop::FIRST_WATCH;
        // From where its predecessor left it, so that it changes whatever happens.
        let beat = Cell::new(status.view().get(Number::Heartbeat) | 1);
        let (watched, children) = (Vec::new(), OnceLock::new());
        Ok(Self {
            name,
            line,
            emitter,
            inbox,
            status,
            bell,
            beat,
            epoll,
            watched,
            next_token,
            table,
            children,
            kind: PhantomData,
        })
    }

    /// Says that the command being handled goes on: for one that takes longer than its process may be
    /// [unresponsive](crate::Spawn::responsive_within). It costs a store.
    pub fn progress(&self) {
        self.beat(self.beat.get() + 2);
    }

    /// The event loop is about to sleep, or wakes up.
    pub(super) fn sleeps(&self, asleep: bool) {
        // To the next even number, or to the next odd one.
        let beat = self.beat.get();
        self.beat(if asleep { (beat | 1) + 1 } else { (beat + 1) | 1 });
    }

    fn beat(&self, beat: u64) {
        self.beat.set(beat);
        self.status.set(Number::Heartbeat, beat);
    }

    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// This process's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The page in which this process says how it does; it outlives it.
    #[must_use]
    pub fn status(&self) -> &Arc<StatusPage> {
        &self.status
    }

    /// What of it can be had by other threads, and by handlers that can't be lent a context.
    #[must_use]
    pub fn voice(&self) -> Voice {
        Voice { emitter: self.emitter.clone(), inbox: self.inbox.clone(), status: self.status.clone() }
    }

    /// The doorbell that wakes the event loop: for rings, and for this process's other threads.
    #[must_use]
    pub fn bell(&self) -> &Doorbell {
        &self.bell
    }

    /// The processes that this one starts: children of a child, under a supervisor of its own, made on first use. They
    /// are stopped after [`Process::stop`], within what is left of the time that this process was given for its own stop, and die
    /// with this process however that dies.
    ///
    /// # Errors
    ///
    /// If the supervisor's thread or descriptors can't be had.
    pub fn system(&self) -> io::Result<&System> {
        if self.children.get().is_none() {
            // Nobody else can come in between: a context belongs to one thread.
            let _ = self.children.set(System::start(self.table.clone(), None)?);
        }
        self.children.get().ok_or_else(|| io::Error::other("no system"))
    }

    /// This process was asked to stop, and gets SIGTERM then: its children have what is left until then.
    pub(super) fn ends_at(&self, term_at: Instant) {
        if let Some(children) = self.children.get() {
            let now = Instant::now();
            children.ends_at(now + for_children(term_at.saturating_duration_since(now)));
        }
    }

    pub(super) fn stop_children(&self) {
        if let Some(children) = self.children.get() {
            children.stop_all(children.grace());
        }
    }

    /// Says something to whoever listens at the parent's [`Events`](crate::Events). What happens if nobody reads them is
    /// said where the process is spawned ([`Spawn::overflow`](crate::Spawn::overflow)): they are dropped there, and
    /// counted, or this waits.
    pub fn emit(&self, event: &P::Event) {
        match Packet::encode(event) {
            Ok(event) => self.emitter.emit(&event),
            Err(error) => tracing::warn!("an event was dropped: could not {error}"),
        }
    }

    /// Whether whoever made the call being handled doesn't want its answer any more: it dropped the call, or its limit is
    /// over. A handler that takes long looks at this now and then. An `async` one needn't: it is dropped where it awaits.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inbox.is_cancelled()
    }

    /// Calls `callback` whenever `descriptor` is readable (level-triggered), or has hung up.
    ///
    /// # Errors
    ///
    /// If the descriptor can't be watched (a plain file can't), or there are too many.
    pub fn watch(
        &mut self,
        descriptor: impl AsFd,
        callback: impl Fn(&mut P, &mut Self) -> Result<(), BoxError> + 'static,
    ) -> io::Result<Watch> {
        let (descriptor, token) = (descriptor.as_fd().try_clone_to_owned()?, self.next_token);
        epoll::add(&self.epoll, &descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        self.next_token += 1;
        self.watched.push(Watched { token, descriptor, callback: Arc::new(callback) });
        Ok(Watch(token))
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, watch: Watch) {
        if let Some(index) = self.watched.iter().position(|watched| watched.token == watch.0) {
            let watched = self.watched.swap_remove(index);
            // The original may stay open elsewhere, so closing our copy wouldn't do.
            let _ = epoll::delete(&self.epoll, &watched.descriptor);
        }
    }
}

impl<P: Process> fmt::Debug for Context<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("name", &self.name).finish_non_exhaustive()
    }
}
