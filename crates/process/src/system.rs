//! The application's view of its supervisor.

use std::{
    process::Command,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    Changes, Commands, Executable, Foreign, Launcher, Spawn,
    cgroup::Tree,
    far::after,
    launch::{Launchers, Progress},
    logs,
    program::Table,
    supervisor::{self, Order, Orders, Which},
    systemd::Inherited,
};

/// How long a process has to stop, if nothing else is said.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// The processes of this application, and the thread that supervises them. Clones are the same system.
///
/// What processes write and log, and what is said about them, is told to the application's `tracing` subscriber by a thread of its
/// own, in order. So a subscriber may write to a terminal that stands still or to a pipe that is full: nothing here waits for it.
/// Beyond 8 MiB that wait, records are lost, and counted.
#[derive(Clone, Debug)]
pub struct System(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: Orders,
    table: Table,
    launchers: Launchers,
    next_id: AtomicU64,
    /// The limit of open descriptors as it was before we, or our parent, raised ours.
    open_files: Option<u64>,
    /// Where control groups for processes are made.
    tree: Option<Tree>,
    /// What systemd left open for us.
    inherited: Inherited,
    /// We are a process that was asked to stop: those that we have started are to be gone by then.
    ends_at: OnceLock<Instant>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.orders.give(Order::Leave(self.launchers.clone()));
    }
}

impl System {
    /// A system for a host that isn't a program of ours, such as an interpreter: what it spawns has an
    /// [executable](Spawn::executable). In a program of ours, [`Program::run`](crate::Program::run) makes it.
    ///
    /// # Errors
    ///
    /// If the supervisor's thread or descriptors can't be had.
    pub fn for_host() -> std::io::Result<Self> {
        Self::start(Table::default(), None)
    }

    pub(crate) fn start(table: Table, tree: Option<Tree>) -> std::io::Result<Self> {
        logs::start();
        let (open_files, inherited) = (raise_descriptor_limit(), Inherited::take());
        let (orders, launchers, next_id) = (supervisor::start(tree.clone())?, Launchers::default(), AtomicU64::new(0));
        let ends_at = OnceLock::new();
        Ok(Self(Arc::new(Inner { orders, table, launchers, next_id, open_files, tree, inherited, ends_at })))
    }

    pub(crate) fn tree(&self) -> Option<&Tree> {
        self.0.tree.as_ref()
    }

    /// Prepares a process with this configuration; [`Spawn::start`] starts it.
    pub fn spawn<P: Commands>(&self, config: P::Config) -> Spawn<'_, P> {
        Spawn::of_kind(self, &config)
    }

    /// Prepares a program that isn't ours: its name, arguments, environment and working folder are taken from
    /// `command`, its standard streams aren't: its input is `/dev/null`, its output is captured line by line. It is
    /// ready when it runs, or when it has [written something](Spawn::ready_line). It can be supervised but not called.
    ///
    /// What else `command` was told nobody can read, so it has no effect: in place of its `env_clear` there is
    /// [`Spawn::env_clear`]; for another user or group, start a program that does that (`setpriv`).
    ///
    /// ```no_run
    /// use process::{BoxError, Restart, System};
    /// use std::{process::Command, time::Duration};
    /// fn app(system: &System) -> Result<(), BoxError> {
    ///     let mut relay = Command::new("mediamtx");
    ///     relay.arg("relay.yml");
    ///     let relay = system.spawn_program(&relay).restart(Restart::always()).ready_line("listener opened").start()?;
    ///     relay.stop(Duration::from_secs(2));
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn_program(&self, command: &Command) -> Spawn<'_, Foreign> {
        Spawn::of_program(self, command)
    }

    /// Waits for the [zygote](Executable::copied_from) of an executable, having it started if there is none, but not longer than
    /// `limit`; in all it has as long as `within` to become one, and half a minute at least. A start waits for it only a moment: without this, the first children may come by exec, each at its price.
    ///
    /// `None` if it isn't known yet: ask again. Otherwise whether children will be copies; if not, the log says why.
    ///
    /// # Panics
    ///
    /// If the executable has none.
    #[must_use]
    pub fn zygote_is_ready(&self, executable: &Executable, within: Duration, limit: Duration) -> Option<bool> {
        #[expect(clippy::expect_used, reason = "documented")]
        let of = executable.zygote().expect("an executable with a zygote");
        let end = after(Instant::now(), limit);
        let mut has_asked = false;
        loop {
            match self.0.launchers.progress(of) {
                Progress::Fit => return Some(true),
                Progress::Over => return Some(false),
                Progress::Young(signs) => signs.wait(end),
                // It could not even be started, or has ended as soon as it was there.
                Progress::None if has_asked => return Some(false),
                Progress::None => {
                    has_asked = true;
                    let (done, begun) = mpsc::channel();
                    self.give(Order::Prepare { launchers: self.0.launchers.clone(), of: of.clone(), within, done });
                    // It isn't said if the supervisor has ended.
                    if begun.recv().is_err() {
                        return Some(false);
                    }
                }
            }
            if end <= Instant::now() {
                return None;
            }
        }
    }

    /// Every change in the state of a process from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let changes = Changes::new();
        self.give(Order::Watch(changes.writer()));
        changes
    }

    /// Stops these processes for good, all at once: asks, sends SIGTERM to their groups after seven eighths of `grace`, and
    /// SIGKILL when it is over. Returns when they are gone.
    pub fn stop(&self, names: &[&str], grace: Duration) {
        self.stop_which(Which::Names(names.iter().map(|name| (*name).to_owned()).collect()), grace);
    }

    /// Stops all processes for good, and lets nobody start another. A start that is under way ends in an error. Returns when
    /// they are gone, and what they have said last is told (or after half a second more, if the log isn't read).
    ///
    /// All stop at once, but for what was said of their order: one that was spawned [`after`](Spawn::after) another is gone
    /// before that is asked to stop, and a [group](System::group) stops in its own order. Each has `grace` from when it is
    /// asked: SIGTERM follows after seven eighths of it, SIGKILL when it is over.
    ///
    /// Whoever is in a hurry (a second SIGTERM) calls this again, with less grace: all that are left are stopped at once then,
    /// and with none they are killed.
    pub fn stop_all(&self, grace: Duration) {
        self.stop_which(Which::All, grace);
        self.is_over();
    }

    /// As [`stop_all`](Self::stop_all), but whoever is doing that already isn't hurried.
    pub(crate) fn end(&self, grace: Duration) {
        let (done, all_gone) = mpsc::channel();
        self.give(Order::End { grace, done });
        let _ = all_gone.recv(); // an error is the supervisor's end, and with it everybody's
        self.is_over();
    }

    fn is_over(&self) {
        self.0.launchers.end();
        // What they have said last.
        logs::finish();
    }

    pub(crate) fn stop_which(&self, which: Which, grace: Duration) {
        let (done, all_gone) = mpsc::channel();
        self.give(Order::Stop { which, grace, done: Some(done) });
        let _ = all_gone.recv(); // an error is the supervisor's end, and with it everybody's
    }

    /// Whatever is stopped without a word of how long it has, has until then.
    pub(crate) fn ends_at(&self, at: Instant) {
        let _ = self.0.ends_at.set(at); // a process is stopped once
    }

    /// How long a process has to stop, if nothing else is said.
    pub(crate) fn grace(&self) -> Duration {
        self.0.ends_at.get().map_or(GRACE, |at| at.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn give(&self, order: Order) {
        self.0.orders.give(order);
    }

    pub(crate) fn can_become(&self, kind: &str) -> bool {
        self.0.table.kinds.contains(&kind)
    }

    /// A number for a process; it names it also when another one has its name.
    pub(crate) fn next_id(&self) -> u64 {
        self.0.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// How children are started if nothing else is said.
    pub(crate) fn launcher(&self) -> Launcher {
        self.0.table.launcher
    }

    pub(crate) fn launchers(&self) -> &Launchers {
        &self.0.launchers
    }

    pub(crate) fn inherited(&self) -> &Inherited {
        &self.0.inherited
    }

    pub(crate) fn original_open_files(&self) -> Option<u64> {
        self.0.open_files
    }
}

/// How many descriptors this program could have open before we raised that, here or in its parent.
static ORIGINAL_OPEN_FILES: OnceLock<u64> = OnceLock::new();

/// Our parent has raised it, and we have that from it.
pub(crate) fn inherit_open_files(original: u64) {
    let _ = ORIGINAL_OPEN_FILES.set(original); // of two, the first is the original
}

/// Some six descriptors a process: the usual soft limit of 1,024 would end at 170 of them. Gives the original limit.
fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // If it is refused, the lower limit may do; what doesn't fit says so.
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        current.into_iter().for_each(inherit_open_files);
    }
    ORIGINAL_OPEN_FILES.get().copied()
}
