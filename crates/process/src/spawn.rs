//! A process about to be started: what it is given, and when it is started again.

use std::{
    ffi::OsString,
    marker::PhantomData,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use shm::{status::StatusPage, wire::Packet};

use crate::{
    Commands, DuringRestart, Executable, Exit, Foreign, Group, Handle, Launcher, Limit, Overflow, Recycle, Restart,
    System,
    connection::{Connection, Witness},
    foreign,
    handle::Owner,
    launch::{Blueprint, What},
    message::ANY_PROTOCOL,
    supervisor::{NotStarted, Order, Plan},
    surroundings::Surroundings,
};

/// How long a process has to become ready, if nothing else is said: a model may have to be loaded.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A process couldn't be started.
#[derive(Debug, thiserror::Error)]
#[error("start {name}: {why}")]
pub struct StartError {
    /// Its name.
    pub name: String,
    /// What went wrong.
    pub why: String,
    /// How it ended, if it came to be.
    pub exit: Option<Exit>,
}

/// A process about to be started. `P` is its kind, or [`Foreign`].
#[derive(Debug)]
#[must_use = "nothing is started until `start`"]
pub struct Spawn<'s, P> {
    system: &'s System,
    name: String,
    what: What,
    executable: Option<Executable>,
    config: Result<Packet, String>,
    environment: Vec<(OsString, Option<OsString>)>,
    has_our_environment: bool,
    folder: Option<PathBuf>,
    surroundings: Surroundings,
    launcher: Launcher,
    restart: Restart,
    group: Option<u64>,
    level: Option<u32>,
    ready_within: Duration,
    ready_line: Option<String>,
    memory_limit: Option<u64>,
    recycle: Option<Recycle>,
    after: Vec<u64>,
    responsive_within: Option<Duration>,
    during_restart: DuringRestart,
    overflow: Overflow,
    witness: Option<Witness>,
    status: Option<Arc<StatusPage>>,
    kind: PhantomData<fn() -> P>,
}

/// A process that has been started and may not be ready yet. Dropped, it is stopped.
#[derive(Debug)]
#[must_use = "dropped, it is stopped"]
pub struct Starting<H> {
    handle: Handle,
    is_ready: Receiver<Result<(), NotStarted>>,
    kind: PhantomData<fn() -> H>,
}

impl<'s, P: Commands> Spawn<'s, P> {
    pub(crate) fn of_kind(system: &'s System, config: &P::Config) -> Self {
        let what = What::Kind { kind: P::KIND, protocol: P::PROTOCOL };
        let config = Packet::encode(config).map_err(|error| format!("could not {error}"));
        Self::new(system, P::KIND.to_owned(), what, config)
    }

    /// How long it may go on without progress while it has something to do; by default for ever. Beyond, what its threads
    /// are at is written into the report of its death, it is killed, and its [`Exit`] is
    /// [`Unresponsive`](Exit::Unresponsive).
    ///
    /// It has something to do while its event loop doesn't sleep, or calls wait for it. Progress is each command that it
    /// takes, each turn of its loop, and each [`Context::progress`](crate::Context::progress).
    pub fn responsive_within(mut self, limit: Duration) -> Self {
        self.responsive_within = Some(limit);
        self
    }

    /// Another executable becomes it: a program of ours that has this kind, or an interpreter that speaks the same wire
    /// (Python: `python3 -m framewire.worker module:Class`). By default this executable does, started again.
    pub fn executable(mut self, executable: Executable) -> Self {
        self.executable = Some(executable);
        self
    }

    /// As which kind the other executable is started, if its name isn't known before the program runs; by default `P`'s own.
    /// Parent and child then go by names: no protocol number is compared.
    pub fn kind(mut self, kind: &'static str) -> Self {
        self.what = What::Kind { kind, protocol: ANY_PROTOCOL };
        self
    }

    /// Starts it and returns when its `start` has returned in the child.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it isn't ready in time, ends before, says why it can't, or can't be started at all. It is
    /// gone then, and not started again.
    pub fn start(self) -> Result<P::Handle, StartError> {
        self.begin()?.wait()
    }

    /// Starts it without waiting until it is ready, so that many can start at once.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it can't be: this program has no such kind, or its configuration has no encoding.
    pub fn begin(self) -> Result<Starting<P::Handle>, StartError> {
        if self.executable.is_none() && !self.system.can_become(P::KIND) {
            let why = format!("this program can't become a {:?}; add it to the Program in main", P::KIND);
            return Err(StartError { name: self.name, why, exit: None });
        }
        self.give()
    }
}

impl<'s> Spawn<'s, Foreign> {
    pub(crate) fn of_program(system: &'s System, command: &Command) -> Self {
        let program = PathBuf::from(command.get_program());
        let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
        let config = foreign::encode(command).map_err(|error| format!("could not {error}"));
        let mut spawn = Self::new(system, name, What::Foreign, config);
        let own = |text: &std::ffi::OsStr| text.to_owned();
        spawn.environment = command.get_envs().map(|(name, value)| (own(name), value.map(own))).collect();
        spawn.folder = command.get_current_dir().map(PathBuf::from);
        // A program that uses `select` can't stand more than it expects.
        spawn.surroundings.open_files = system.original_open_files();
        spawn
    }

    /// It is ready when it has written a line that contains `text`, to its standard output or error; by default as soon
    /// as it runs.
    pub fn ready_line(mut self, text: impl Into<String>) -> Self {
        self.ready_line = Some(text.into());
        self
    }

    /// Starts it and returns when it is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`] if it can't be run, or isn't ready in time. It is gone then, and not started again.
    pub fn start(self) -> Result<Handle, StartError> {
        self.begin()?.wait()
    }

    /// Starts it without waiting until it is ready, so that many can start at once.
    ///
    /// # Errors
    ///
    /// [`StartError`] if its command line has no encoding.
    pub fn begin(self) -> Result<Starting<Handle>, StartError> {
        self.give()
    }
}

impl<'s, P> Spawn<'s, P> {
    fn new(system: &'s System, name: String, what: What, config: Result<Packet, String>) -> Self {
        Self {
            system,
            name,
            what,
            executable: None,
            config,
            environment: Vec::new(),
            has_our_environment: true,
            folder: None,
            surroundings: Surroundings::default(),
            launcher: system.launcher(),
            restart: Restart::never(),
            group: None,
            level: None,
            ready_within: READY_WITHIN,
            ready_line: None,
            memory_limit: None,
            recycle: None,
            after: Vec::new(),
            responsive_within: None,
            during_restart: DuringRestart::default(),
            overflow: Overflow::default(),
            witness: None,
            status: None,
            kind: PhantomData,
        }
    }

    /// Its name, unique in the system; by default the kind's, or the program's.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// When it is started again; by default never.
    pub fn restart(mut self, policy: Restart) -> Self {
        self.restart = policy;
        self
    }

    /// It is a member of this group: restarted with others by its strategy, and stopped with them in order.
    pub fn in_group(mut self, group: &Group) -> Self {
        self.group = Some(group.id());
        self
    }

    /// Its place in its group's order; by default after all that are there. Members of one level are started and stopped
    /// at once.
    pub fn level(mut self, level: u32) -> Self {
        self.level = Some(level);
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

    /// Sets a variable of its environment, which is otherwise ours.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), Some(value.into())));
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), None));
        self
    }

    /// It gets none of our variables, only those that are set for it, before or after this. (Without `PATH`, programs are looked for
    /// in `/bin` and `/usr/bin`.)
    pub fn env_clear(mut self) -> Self {
        self.has_our_environment = false;
        self
    }

    /// Its working folder; by default ours.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// How it is started; by default as the program says ([`Program::launcher`](crate::Program::launcher)). A program that isn't
    /// ours is always started by exec.
    pub fn launcher(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    /// Its nice value: from -20 (which needs the right to) to 19, the most modest; by default ours.
    pub fn nice(mut self, value: i32) -> Self {
        self.surroundings.nice = Some(value);
        self
    }

    /// The processors that it may run on, counted from 0; by default ours.
    pub fn cpus(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.surroundings.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// A resource limit, soft and hard; by default ours. A start that can't take it fails.
    pub fn limit(mut self, limit: Limit, value: u64) -> Self {
        self.surroundings.limits.push((limit, value));
        self
    }

    /// How much memory it may have, in bytes. Beyond it is killed, and its [`Exit`] is
    /// [`OutOfMemory`](Exit::OutOfMemory).
    ///
    /// Where this program has a part of the control-group tree to itself (systemd's `Delegate=yes`, or
    /// [`Program::control_group`](crate::Program::control_group)) the kernel keeps the limit at every instant, for the process
    /// **and all that it starts**. What counts is what the kernel charges to it: private memory, and files and shared memory
    /// that it was the first to touch, so the rings that it writes.
    ///
    /// Elsewhere its private memory is looked at four times a second; what it takes in between is bounded by a resource limit of
    /// twice as much and 256 MiB, at which its allocations fail. Shared memory and its children don't count there.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// It needs `other`: when everything is stopped ([`System::stop_all`], and the end of
    /// [`Program::run`](crate::Program::run)) it is stopped before, and `other` is asked to stop when it is gone. It also keeps
    /// `other` when the last handle on that goes, until it is gone itself. (Start it when `other` is ready: then its start is
    /// in order too.) For processes that are also to be *restarted* together there are groups.
    pub fn after(mut self, other: &Handle) -> Self {
        self.after.push(other.owner.id);
        self
    }

    /// It is replaced as planned: when it is due, another incarnation is started **beside it**, and takes its place when that
    /// is ready. New calls go there from then on; the old one answers what it has, and stops. Handles and events go on
    /// (those of the old one's last calls come between those of the new one), no call is lost, and it counts neither as a
    /// failure nor as a restart. A replacement that doesn't get ready leaves the old one at work and is tried again, ever more
    /// slowly; [`System::changes`] tells of each step. Its [status page](Handle::status) shows the new one from the moment at
    /// which it takes over, with counts that begin anew.
    ///
    /// Both exist for a while. So it isn't for a process that holds what only one can hold: the writing end of a ring, a
    /// camera, a port that it has opened itself. (A listening socket that came with its configuration may be held by both.)
    ///
    /// If one of the two dies meanwhile, the calls that it had end with [`Died`](crate::CallError::Died), and the other goes
    /// on. In a group this concerns the process alone.
    ///
    /// ```no_run
    /// # use process::{BoxError, Context, Process, System, commands};
    /// # struct Detector;
    /// # impl Process for Detector {
    /// #     const KIND: &'static str = "detector";
    /// #     type Config = ();
    /// #     type Event = ();
    /// #     fn start((): (), _: &mut Context<Self>) -> Result<Self, BoxError> { Ok(Self) }
    /// # }
    /// # #[commands]
    /// # impl Detector {}
    /// use process::{Recycle, Restart};
    /// use std::time::Duration;
    /// fn app(system: &System) -> Result<(), BoxError> {
    ///     // A library in it leaks: a new one every 10,000 calls, or when it has taken a gigabyte.
    ///     let policy = Recycle::after_calls(10_000).or(Recycle::above_memory(1 << 30));
    ///     let detector = system.spawn::<Detector>(()).restart(Restart::on_failure()).recycle(policy).start()?;
    ///     # let _ = detector;
    ///     Ok(())
    /// }
    /// ```
    pub fn recycle(mut self, policy: Recycle) -> Self {
        self.recycle = Some(policy);
        self
    }

    /// What happens to its events when nobody reads them; by default the oldest of 1,024 are dropped.
    pub fn overflow(mut self, policy: Overflow) -> Self {
        self.overflow = policy;
        self
    }

    /// What becomes of calls when it dies and is restarted; by default they fail.
    pub fn during_restart(mut self, policy: DuringRestart) -> Self {
        self.during_restart = policy;
        self
    }

    /// `witness` is told how it goes.
    pub(crate) fn witness(mut self, witness: Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    fn give<H>(self) -> Result<Starting<H>, StartError> {
        let failed = |why: String| StartError { name: self.name.clone(), why, exit: None };
        let config = self.config.clone().map_err(&failed)?;
        let new_page = || StatusPage::create().map(Arc::new).map_err(|error| failed(format!("could not {error}")));
        let status = self.status.clone().map_or_else(new_page, Ok)?;
        let mut surroundings = self.surroundings.clone();
        // Whoever is given a limit of its own hands that on.
        let has_own = surroundings.limits.iter().any(|(limit, _)| *limit == Limit::OpenFiles);
        surroundings.original_open_files = self.system.original_open_files().filter(|_| !has_own);
        let (system, id) = (self.system.clone(), self.system.next_id());
        let connection = Connection::new(self.name.clone(), self.overflow, self.during_restart, self.witness);
        if self.what == What::Foreign {
            connection.takes_no_calls();
        }
        let owner = Arc::new(Owner { system: system.clone(), id, connection: connection.clone() });
        let handle = Handle { system, connection: connection.clone(), status: status.clone(), owner };
        let (ready, is_ready) = mpsc::channel();
        let blueprint = Blueprint {
            name: self.name,
            what: self.what,
            executable: self.executable,
            config,
            environment: self.environment,
            has_our_environment: self.has_our_environment,
            folder: self.folder,
            surroundings,
            launcher: self.launcher,
            launchers: self.system.launchers().clone(),
        };
        let plan = Plan {
            id,
            asked_at: Instant::now(),
            blueprint,
            restart: self.restart,
            group: self.group.map(|group| (group, self.level)),
            ready_within: self.ready_within,
            ready_line: self.ready_line,
            memory_limit: self.memory_limit,
            recycle: self.recycle,
            tree: self.system.tree().cloned(),
            after: self.after,
            responsive_within: self.responsive_within,
            connection,
            status,
            ready,
        };
        self.system.give(Order::Start(Box::new(plan)));
        Ok(Starting { handle, is_ready, kind: PhantomData })
    }
}

impl<H: From<Handle>> Starting<H> {
    /// Waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`Spawn::start`].
    pub fn wait(self) -> Result<H, StartError> {
        let failed = |NotStarted { why, exit }| StartError { name: self.handle.name().to_owned(), why, exit };
        match self.is_ready.recv() {
            Ok(Ok(())) => Ok(H::from(self.handle)),
            Ok(Err(not_started)) => Err(failed(not_started)),
            Err(_) => Err(failed(NotStarted { why: "the system is stopping".to_owned(), exit: None })),
        }
    }

    /// As [`wait`](Self::wait), but no longer than `limit`: `None` then; ask again. It is told once.
    ///
    /// # Errors
    ///
    /// As [`Spawn::start`].
    pub fn wait_for(&self, limit: Duration) -> Option<Result<H, StartError>> {
        let failed = |NotStarted { why, exit }| StartError { name: self.handle.name().to_owned(), why, exit };
        match self.is_ready.recv_timeout(limit) {
            Ok(Ok(())) => Some(Ok(H::from(self.handle.clone()))),
            Ok(Err(not_started)) => Some(Err(failed(not_started))),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Err(failed(NotStarted { why: "the system is stopping".to_owned(), exit: None })))
            }
        }
    }

    /// A handle on it, and where is heard how its start went.
    pub(crate) fn into_parts(self) -> (Handle, Receiver<Result<(), NotStarted>>) {
        (self.handle, self.is_ready)
    }

    /// A handle on it already: for signals, and to join it.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}
