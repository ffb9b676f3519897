//! The application's view of its supervisor.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::Duration,
};

use shm::{status::StatusPage, wire::Packet};

use crate::{
    Commands, Handle, Restart,
    connection::{Connection, Witness},
    launch::Blueprint,
    supervisor::{self, Change, Order, Orders, Plan},
};

/// How long a process has to become ready, if nothing else is said: a model may have to be loaded.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long a process has to stop, if nothing else is said.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// The processes of this application, and the thread that supervises them. Clones are the same system.
#[derive(Clone, Debug)]
pub struct System(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: Orders,
    kinds: Vec<&'static str>,
}

/// A process couldn't be started.
#[derive(Debug, thiserror::Error)]
#[error("start {name}: {why}")]
pub struct StartError {
    /// Its name.
    pub name: String,
    /// What went wrong.
    pub why: String,
}

impl System {
    pub(crate) fn start(kinds: Vec<&'static str>) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Inner { orders: supervisor::start()?, kinds })))
    }

    /// Prepares a process with this configuration; [`Spawn::start`] starts it.
    pub fn spawn<P: Commands>(&self, config: P::Config) -> Spawn<'_, P> {
        Spawn {
            system: self,
            name: P::KIND.to_owned(),
            config: Packet::encode(&config).map_err(|error| format!("could not {error}")),
            restart: Restart::never(),
            ready_within: READY_WITHIN,
            status: None,
            kind: PhantomData,
        }
    }

    /// Every change in the state of a process from now on.
    #[must_use]
    pub fn changes(&self) -> Receiver<Change> {
        let (sender, receiver) = mpsc::channel();
        self.0.orders.give(Order::Watch(sender));
        receiver
    }

    /// Stops these processes for good, all at once: asks, sends SIGTERM to their groups after half of `grace`, and
    /// SIGKILL when it is over. Returns when they are gone.
    pub fn stop(&self, names: &[&str], grace: Duration) {
        let (done, all_gone) = mpsc::channel();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        self.0.orders.give(Order::Stop { names: Some(names), grace, done });
        let _ = all_gone.recv(); // an error is the supervisor's end, and with it everybody's
    }

    /// Stops a process for good and doesn't wait until it is gone.
    pub(crate) fn stop_soon(&self, name: &str, grace: Duration) {
        let names = Some(vec![name.to_owned()]);
        self.0.orders.give(Order::Stop { names, grace, done: mpsc::channel().0 });
    }

    /// Keeps nothing of a process that is over.
    pub(crate) fn forget(&self, name: &str) {
        self.0.orders.give(Order::Forget(name.to_owned()));
    }

    /// Stops all processes for good, all at once, and lets nobody start another. A start that is under way ends in an
    /// error. Returns when they are gone.
    pub fn stop_all(&self, grace: Duration) {
        let (done, all_gone) = mpsc::channel();
        self.0.orders.give(Order::Stop { names: None, grace, done });
        let _ = all_gone.recv();
    }
}

/// A process that was ordered and may not be ready yet.
#[derive(Debug)]
pub(crate) struct Begun {
    pub connection: Arc<Connection>,
    pub status: Arc<StatusPage>,
    /// Hears how the start went.
    pub is_ready: Receiver<Result<(), String>>,
}

/// A process about to be started.
#[derive(Debug)]
#[must_use = "nothing is started until `start`"]
pub struct Spawn<'s, P> {
    system: &'s System,
    name: String,
    config: Result<Packet, String>,
    restart: Restart,
    ready_within: Duration,
    status: Option<Arc<StatusPage>>,
    kind: PhantomData<P>,
}

impl<P: Commands> Spawn<'_, P> {
    /// Its name, unique in the system; by default the kind's.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// When it is started again; by default never.
    pub fn restart(mut self, policy: Restart) -> Self {
        self.restart = policy;
        self
    }

    /// How long it has to become ready, at each start; by default 30 s.
    pub fn ready_within(mut self, limit: Duration) -> Self {
        self.ready_within = limit;
        self
    }

    /// Its status page, if somebody shall see it before the process is started; by default a new one.
    pub fn status(mut self, page: Arc<StatusPage>) -> Self {
        self.status = Some(page);
        self
    }

    /// Starts it and returns when its `start` has returned in the child.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it isn't ready in time, ends before, says why it can't, or can't be started at all. It is
    /// gone then, and not started again.
    pub fn start(self) -> Result<P::Handle, StartError> {
        let (system, name) = (self.system.clone(), self.name.clone());
        let Begun { connection, status, is_ready } = self.begin(None)?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(P::Handle::from(Handle { system, connection, status })),
            Ok(Err(why)) => Err(StartError { name, why }),
            Err(_) => Err(StartError { name, why: "the system is stopping".to_owned() }),
        }
    }

    /// Starts it and doesn't wait: `witness` is told how it goes.
    pub(crate) fn begin(self, witness: Option<Witness>) -> Result<Begun, StartError> {
        let failed = |why: String| StartError { name: self.name.clone(), why };
        if !self.system.0.kinds.contains(&P::KIND) {
            let why = format!("this program can't become a {:?}; add it to the Program in main", P::KIND);
            return Err(failed(why));
        }
        let config = self.config.clone().map_err(&failed)?;
        let new_page = || StatusPage::create().map(Arc::new).map_err(|error| failed(format!("could not {error}")));
        let status = self.status.clone().map_or_else(new_page, Ok)?;
        let connection = Connection::new(self.name.clone());
        witness.into_iter().for_each(|witness| connection.witness(witness));
        let blueprint = Blueprint { name: self.name.clone(), kind: P::KIND, protocol: P::PROTOCOL, config };
        let (ready, is_ready) = mpsc::channel();
        let plan = Plan {
            blueprint,
            restart: self.restart,
            ready_within: self.ready_within,
            connection: connection.clone(),
            status: status.clone(),
            ready,
        };
        self.system.0.orders.give(Order::Start(Box::new(plan)));
        Ok(Begun { connection, status, is_ready })
    }
}
