//! The supervisor: one thread that starts, watches, restarts and stops processes, and never waits for one of them.

mod census;
mod groups;
mod life;
mod orders;
mod output;
mod stacks;
mod watch;

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Write},
    sync::{Arc, mpsc::Sender},
    thread,
    time::{Duration, Instant},
};

use shm::{
    clock::monotonic_ns,
    doorbell::Doorbell,
    status::{Number, StatusPage, Text},
};

use self::life::chance;
pub(crate) use self::orders::{NotStarted, Order, Orders, Plan, Which};
pub(crate) use self::{
    census::{Census, Standing},
    groups::GroupPlan,
};
use self::{
    groups::{Action, Groups, Outcome},
    life::{Child, News},
    watch::{Seen, Watcher},
};
use crate::{Exit, logs};

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
    let (watcher, own_orders) = (Watcher::new(received.bell())?, orders.clone());
    let supervisor = Supervisor {
        watcher,
        orders: own_orders,
        children: HashMap::new(),
        watching: Vec::new(),
        attending: Vec::new(),
        stops: Vec::new(),
        forgotten: Vec::new(),
        groups: Groups::default(),
        news: VecDeque::new(),
        fatal: None,
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
    /// For threads that work for it.
    orders: Orders,
    children: HashMap<u64, Child>,
    watching: Vec<Sender<Change>>,
    /// Rung with each change.
    attending: Vec<Doorbell>,
    stops: Vec<Stopping>,
    /// Whose last handle is gone.
    forgotten: Vec<u64>,
    groups: Groups,
    /// What groups must hear.
    news: VecDeque<(u64, News)>,
    /// The group without which the application ends.
    fatal: Option<String>,
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
                let orders = self.orders.clone();
                self.with(id, |child, watcher| child.on_time(id, watcher, &orders, now));
            }
            if self.groups.due().is_some_and(|due| due <= now) {
                let mut actions = Vec::new();
                self.groups.on_time(now, &mut actions);
                self.act(actions);
            }
            self.settle();
            self.answer_stops();
            self.forget();
            self.end_if_fatal();
            let next = self.children.values().filter_map(Child::due).chain(self.groups.due()).min();
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
            Order::Start(plan) => {
                if self.stopping {
                    return refuse(&plan, "everything is being stopped");
                }
                let (id, name) = (plan.id, &plan.blueprint.name);
                if self.children.values().any(|child| child.name() == name && !child.is_over()) {
                    return refuse(&plan, "there is a process of that name already");
                }
                if let Some((group, level)) = plan.group
                    && !self.groups.add(id, group, level, plan.restart.is_temporary())
                {
                    return refuse(&plan, "its group has failed, or is being stopped");
                }
                self.children.retain(|_, child| child.name() != name);
                self.children.insert(id, Child::new(*plan));
                self.with(id, |child, watcher| child.launch(id, watcher));
            }
            Order::Stop { which, grace, done } => {
                self.stopping |= matches!(which, Which::All);
                let wanted = |(id, child): &(&u64, &Child)| which.includes(**id, child.name());
                let children: Vec<u64> = self.children.iter().filter(wanted).map(|(id, _)| *id).collect();
                for id in &children {
                    self.with(*id, |child, _| child.stop(grace));
                }
                match done {
                    Some(done) => self.stops.push(Stopping { children, done }),
                    // Its last handle is gone: nobody will ever ask about it again.
                    None => self.forgotten.extend(children),
                }
            }
            Order::Group(plan) => self.groups.add_group(plan),
            Order::StopGroup { id, grace, done } => {
                let mut actions = Vec::new();
                self.groups.stop(id, grace, done, Instant::now(), &mut actions);
                self.act(actions);
            }
            Order::ForgetGroup(id) => self.groups.forget_group(id),
            Order::Attend(bell) => self.attending.push(bell),
            Order::Census(asks) => {
                let standings = self.children.iter().map(|(id, child)| child.standing(*id)).collect();
                let _ = asks.send(Census { standings, stopping: self.stopping });
            }
            Order::Stacks { id, pid, lines } => self.with(id, |child, _| child.has_stacks(pid, lines)),
            Order::Signal { id, signal } => self.with(id, |child, _| child.signal(signal)),
        }
    }

    /// Lets something happen to a child, then tells the world what has become of it.
    fn with(&mut self, id: u64, happen: impl FnOnce(&mut Child, &mut Watcher)) {
        let Some(child) = self.children.get_mut(&id) else { return };
        let _about = logs::about(child.restarts());
        let before = child.state();
        happen(child, &mut self.watcher);
        if child.has_group() {
            self.news.extend(child.take_news().into_iter().map(|news| (id, news)));
        }
        for change in child.take_changes(before) {
            publish(child.status(), &change);
            self.attending.iter().for_each(Doorbell::ring);
            self.watching.retain(|watching| watching.send(change.clone()).is_ok());
        }
    }

    /// Lets groups hear what has become of their members, and does what they decide, until there is no more of it.
    fn settle(&mut self) {
        while let Some((id, news)) = self.news.pop_front() {
            let (now, mut actions) = (Instant::now(), Vec::new());
            match news {
                News::Died { worked } => {
                    if self.groups.died(id, now, worked, chance(), &mut actions) == Outcome::Alone {
                        self.with(id, |child, _| child.again_alone(worked));
                    }
                }
                News::Down => self.groups.went_down(id, now, &mut actions),
                News::Ready => self.groups.became_ready(id, now, &mut actions),
                News::Over => self.groups.gone(id, now, &mut actions),
            }
            self.act(actions);
        }
    }

    fn act(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start(id) => self.with(id, |child, watcher| child.again(id, watcher)),
                Action::Pause(id, grace) => self.with(id, |child, _| child.pause(grace)),
                Action::Stop(id, grace) => self.with(id, |child, _| child.stop(grace)),
                Action::GiveUp(id) => self.with(id, |child, _| child.give_up()),
                Action::Exit(group) => {
                    tracing::error!(group, "an essential group has failed too often: the application ends");
                    self.fatal = Some(group);
                    self.obey(Order::Stop { which: Which::All, grace: crate::system::GRACE, done: None });
                }
                Action::Done(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    fn end_if_fatal(&self) {
        /// `EX_SOFTWARE` of sysexits.h.
        const SOFTWARE: i32 = 70;
        if let Some(group) = &self.fatal
            && self.children.values().all(Child::is_over)
        {
            // Not `eprintln`: it panics if standard error is gone.
            let _ = writeln!(io::stderr(), "error: could not go on without {group}: it failed too often");
            std::process::exit(SOFTWARE);
        }
    }

    fn forget(&mut self) {
        let children = &mut self.children;
        self.forgotten.retain(|id| {
            let over = children.get(id).is_none_or(Child::is_over);
            if over {
                children.remove(id);
            }
            !over
        });
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

/// Lets nothing begin, and leaves nobody waiting for it.
fn refuse(plan: &Plan, why: &'static str) {
    let (name, exit) = (plan.blueprint.name.clone(), Some((Exit::Failed(why.to_owned()), Vec::new())));
    let change = Change { name, state: State::Failed, pid: None, restarts: 0, exit, delay: None };
    plan.connection.take_down(&change);
    // Before its end is told: a witness of that asks why.
    let _ = plan.ready.send(Err(why.into()));
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
