//! The supervisor: one thread that starts, watches, restarts and stops processes, and never waits for one of them.

mod life;
mod orders;
mod output;
mod watch;

use std::{
    collections::HashMap,
    io,
    sync::{Arc, mpsc::Sender},
    thread,
    time::{Duration, Instant},
};

use shm::{
    clock::monotonic_ns,
    status::{Number, StatusPage, Text},
};

pub(crate) use self::orders::{Order, Orders, Plan};
use self::{
    life::Child,
    watch::{Seen, Watcher},
};
use crate::Exit;

/// Where a process is in its life.
///
/// ```text
///            ┌────────────── delay ──────────────┐
///            ▼                                   │
///  start ─ Starting ──▶ Ready ──▶ (ends) ──▶ Restarting
///            │            │          │
///            │            ▼          ├──▶ Exited   by policy
///            └─────────▶ Stopping ───┘    Failed   too many restarts, or never became ready
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum State {
    /// Started, not ready yet.
    Starting = 1,
    /// At work.
    Ready = 2,
    /// Asked to stop.
    Stopping = 3,
    /// It ended, and waits to be started again.
    Restarting = 4,
    /// It ended and stays so.
    Exited = 5,
    /// It was given up.
    Failed = 6,
}

impl State {
    /// The state that a status page's number stands for.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        use State::*;
        [Starting, Ready, Stopping, Restarting, Exited, Failed].into_iter().find(|state| *state as u64 == number)
    }

    /// As in the HTTP interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Failed => "failed",
        }
    }
}

/// A process has changed its state.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// What it is now.
    pub state: State,
    /// Its process identifier, while it runs.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u64,
    /// How the last incarnation ended, with its last lines of output.
    pub exit: Option<(Exit, Vec<String>)>,
    /// How long until it is started again.
    pub delay: Option<Duration>,
}

/// Starts the thread. It lives as long as the process; if it should panic, nobody would supervise, so it takes the
/// process along.
pub(crate) fn start() -> io::Result<Orders> {
    let (orders, received) = Orders::new()?;
    let watcher = Watcher::new(received.bell())?;
    let supervisor = Supervisor {
        watcher,
        children: HashMap::new(),
        next: 0,
        watching: Vec::new(),
        stops: Vec::new(),
        stopping: false,
    };
    thread::Builder::new().name("supervisor".to_owned()).spawn(move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| supervisor.run(&received)));
        if ended.is_err() {
            std::process::abort();
        }
    })?;
    Ok(orders)
}

struct Supervisor {
    watcher: Watcher,
    children: HashMap<u64, Child>,
    next: u64,
    watching: Vec<Sender<Change>>,
    stops: Vec<Stopping>,
    /// All were told to stop; nobody is started any more.
    stopping: bool,
}

/// A stop that somebody waits for.
struct Stopping {
    children: Vec<u64>,
    done: Sender<()>,
}

impl Supervisor {
    fn run(mut self, orders: &orders::Received) {
        loop {
            let now = Instant::now();
            let due: Vec<u64> = self
                .children
                .iter()
                .filter(|(_, child)| child.due().is_some_and(|due| due <= now))
                .map(|(id, _)| *id)
                .collect();
            for id in due {
                self.with(id, |child, watcher| child.on_time(id, watcher, now));
            }
            self.answer_stops();
            let next = self.children.values().filter_map(Child::due).min();
            let seen = self.watcher.wait(next.map(|next| next.saturating_duration_since(Instant::now())));
            // Orders first: whoever asked to be told of changes, and then caused one, is told of it.
            if seen.contains(&Seen::Orders) {
                orders.quiet();
            }
            while let Some(order) = orders.next() {
                self.obey(order);
            }
            for seen in seen {
                if let Seen::Child { id, what } = seen {
                    self.with(id, |child, watcher| child.on_seen(id, what, watcher));
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Watch(sender) => self.watching.push(sender),
            Order::Forget(name) => self.children.retain(|_, child| child.name() != name || !child.is_over()),
            Order::Start(plan) => {
                if self.stopping {
                    return refuse(&plan, "everything is being stopped");
                }
                let name = &plan.blueprint.name;
                if self.children.values().any(|child| child.name() == name && !child.is_over()) {
                    return refuse(&plan, "there is a process of that name already");
                }
                self.children.retain(|_, child| child.name() != name);
                let id = self.next;
                self.next += 1;
                self.children.insert(id, Child::new(*plan));
                self.with(id, |child, watcher| child.launch(id, watcher));
            }
            Order::Stop { names, grace, done } => {
                self.stopping |= names.is_none();
                let wanted =
                    |child: &Child| names.as_ref().is_none_or(|names| names.iter().any(|name| name == child.name()));
                let children: Vec<u64> =
                    self.children.iter().filter(|(_, child)| wanted(child)).map(|(id, _)| *id).collect();
                for id in &children {
                    self.with(*id, |child, _| child.stop(grace));
                }
                self.stops.push(Stopping { children, done });
            }
        }
    }

    /// Lets something happen to a child, then tells the world what has become of it.
    fn with(&mut self, id: u64, happen: impl FnOnce(&mut Child, &mut Watcher)) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let before = child.state();
        happen(child, &mut self.watcher);
        for change in child.take_changes(before) {
            publish(child.status(), &change);
            self.watching.retain(|watching| watching.send(change.clone()).is_ok());
        }
    }

    fn answer_stops(&mut self) {
        let children = &self.children;
        self.stops.retain(|stop| {
            let gone = stop.children.iter().all(|id| children.get(id).is_none_or(Child::is_over));
            if gone {
                let _ = stop.done.send(());
            }
            !gone
        });
    }
}

fn refuse(plan: &Plan, why: &str) {
    let _ = plan.ready.send(Err(why.to_owned()));
    plan.connection.end();
}

fn publish(status: &Arc<StatusPage>, change: &Change) {
    status.set(Number::State, change.state as u64);
    status.set(Number::Pid, change.pid.map_or(0, |pid| u64::from(pid.unsigned_abs())));
    status.set(Number::Restarts, change.restarts);
    if let Some((exit, _)) = &change.exit {
        status.set_text(Text::LastExit, &exit.to_string());
    }
    if change.state == State::Starting {
        status.set(Number::StartedNs, monotonic_ns());
    } else if change.pid.is_none() {
        // What it said of itself isn't true any more.
        status.set(Number::Condition, 0);
        status.set_text(Text::Detail, "");
    }
}
