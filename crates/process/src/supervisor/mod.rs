//! The supervisor: one thread that starts, watches, restarts and stops processes, and never waits for one of them.

mod census;
mod change;
mod departure;
mod groups;
mod life;
mod orders;
mod orphans;
mod output;
mod stacks;
mod watch;

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Write},
    sync::{
        Arc, Weak,
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use shm::{
    clock::monotonic_ns,
    doorbell::Doorbell,
    status::{Number, StatusPage, Text},
};

/// Orders are obeyed for so long before children are looked at: many starts can take longer than a child should wait.
const ORDERS_WITHIN: Duration = Duration::from_millis(100);

/// Why a process isn't started whose name another one has.
const TAKEN: &str = "there is a process of that name already; stop it first (`handle = …` makes the new one before \
                     it drops the old one), or give this one another name";

pub use self::change::{Change, Due, Replacement, State};
use self::life::chance;
#[cfg(test)]
pub(crate) use self::orders::Received;
pub(crate) use self::orders::{NotStarted, Order, Orders, Plan, Which};
pub(crate) use self::{
    census::{Census, Standing},
    groups::GroupPlan,
};
use self::{
    departure::{Departure, Whole},
    groups::{Action, Groups, Outcome},
    life::{Child, News},
    watch::{Seen, Watcher, What},
};
use crate::{
    Exit,
    cgroup::Tree,
    changes::Stream,
    launch::Launchers,
    logs::{self, later},
};

/// Starts the thread. It lives as long as anybody can reach it, or anything is left to be supervised; if it should panic, nobody would supervise, so it takes the
/// process along.
pub(crate) fn start(tree: Option<Tree>) -> io::Result<Orders> {
    let (orders, received) = Orders::new()?;
    let (watcher, own_orders) = (Watcher::new(orders.clone())?, orders.clone());
    let supervisor = Supervisor {
        watcher,
        orders: own_orders,
        tree,
        children: HashMap::new(),
        names: HashMap::new(),
        watching: Vec::new(),
        attending: Vec::new(),
        stops: Vec::new(),
        forgotten: Vec::new(),
        groups: Groups::default(),
        news: VecDeque::new(),
        fatal: None,
        stopping: false,
        left: None,
        departure: None,
        kept: Vec::new(),
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
    /// Where control groups of children are, and are cleared away.
    tree: Option<Tree>,
    children: HashMap<u64, Child>,
    /// The number of each, by its name.
    names: HashMap<String, u64>,
    watching: Vec<Weak<Stream>>,
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
    /// All are to stop; nobody is started any more.
    stopping: bool,
    /// Nobody can reach this system any more; this is left of it.
    left: Option<Launchers>,
    departure: Option<Departure>,
    /// Whose last handle is gone, and whom others need still.
    kept: Vec<(u64, Duration)>,
}

/// A stop that somebody waits for.
struct Stopping {
    children: Vec<u64>,
    done: Sender<()>,
}

impl Supervisor {
    fn run(mut self, orders: &orders::Received) {
        let mut more = false;
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
            self.depart();
            self.answer_stops();
            self.forget_those_over();
            self.end_if_fatal();
            let tidy_at = self.tree.as_ref().and_then(|tree| tree.tidy(now));
            let orphans_at = self.watcher.orphans.look(now);
            if let Some(launchers) = &self.left
                && orphans_at.is_none()
                && self.children.values().all(Child::is_over)
            {
                return launchers.end();
            }
            let others = [self.groups.due(), tidy_at, orphans_at].into_iter().flatten();
            let next = self.children.values().filter_map(Child::due).chain(others).min();
            let wait = next.map(|next| next.saturating_duration_since(Instant::now()));
            let seen = self.watcher.wait(if more { Some(Duration::ZERO) } else { wait });
            // Orders first: whoever asked to be told of changes, and then caused one, is told of it.
            if seen.contains(&Seen::Orders) {
                orders.quiet();
            }
            let end = Instant::now() + ORDERS_WITHIN;
            more = loop {
                let Some(order) = orders.next() else { break false };
                self.obey(order);
                if end <= Instant::now() {
                    break true;
                }
            };
            for seen in seen {
                if let Seen::Child { id, slot, what } = seen {
                    self.with(id, |child, watcher| child.on_seen(id, slot, what, watcher));
                }
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Watch(reader) => self.watching.push(reader),
            Order::Start(plan) => {
                if self.stopping {
                    return refuse(&plan, "everything is being stopped");
                }
                let (id, name) = (plan.id, &plan.blueprint.name);
                let former = self.names.get(name).copied();
                if former.is_some_and(|id| !is_over(&self.children, id)) {
                    return refuse(&plan, TAKEN);
                }
                if let Some((group, level)) = plan.group
                    && !self.groups.add(id, group, level, plan.restart.is_temporary())
                {
                    return refuse(&plan, "its group has failed, or is being stopped");
                }
                let former = self.names.insert(name.clone(), id);
                former.into_iter().for_each(|id| self.forget(id));
                plan.connection.set_bell(self.orders.bell());
                self.children.insert(id, Child::new(*plan));
                self.with(id, |child, watcher| child.launch(id, watcher));
            }
            Order::Stop { which, grace, done } => {
                let children: Vec<u64> = match &which {
                    Which::All => self.children.keys().copied().collect(),
                    Which::Names(names) => names.iter().filter_map(|name| self.names.get(name)).copied().collect(),
                    Which::Ids(ids) => ids.iter().filter(|id| self.children.contains_key(id)).copied().collect(),
                };
                if matches!(which, Which::All) && !std::mem::replace(&mut self.stopping, true) {
                    self.children.values_mut().for_each(Child::recycle_no_more);
                    let living = self.children.iter().filter(|(_, child)| !child.is_over());
                    let of = |(id, child): (&u64, &'_ Child)| {
                        (
                            *id,
                            self.groups.outermost(*id).map_or(Whole::Process(*id), Whole::Group),
                            child.after().to_vec(),
                        )
                    };
                    self.departure = Some(Departure::of(grace, &living.map(of).collect::<Vec<_>>()));
                } else {
                    // Asked a second time for all, there is no time for an order.
                    let all = matches!(which, Which::All);
                    self.departure.iter_mut().filter(|_| all).for_each(Departure::hurry);
                    for id in &children {
                        if done.is_none() && self.is_needed(*id) {
                            self.kept.push((*id, grace));
                        } else {
                            self.with(*id, |child, _| child.stop(grace));
                        }
                    }
                }
                match done {
                    Some(done) => self.stops.push(Stopping { children, done }),
                    // Its last handle is gone: nobody will ever ask about it again.
                    None => self.forgotten.extend(children),
                }
            }
            Order::End { done, .. } if self.stopping => {
                self.stops.push(Stopping { children: self.children.keys().copied().collect(), done });
            }
            Order::End { grace, done } => self.obey(Order::Stop { which: Which::All, grace, done: Some(done) }),
            Order::Leave(launchers) => self.left = Some(launchers),
            Order::Disown(id) => self.forgotten.push(id),
            Order::Group(plan) => self.groups.add_group(plan),
            Order::StopGroup { id, grace, done } => {
                let mut actions = Vec::new();
                self.groups.stop(id, grace, done, Instant::now(), &mut actions);
                self.act(actions);
            }
            Order::ForgetGroup(id) => self.groups.forget_group(id),
            Order::Attend(bell) => self.attending.push(bell),
            Order::Prepare { launchers, of, within, done } => {
                launchers.prepare(&of, within);
                let _ = done.send(()); // whoever asked may not wait any more
            }
            Order::Census(asks) => {
                let standings = self.children.iter().map(|(id, child)| child.standing(*id)).collect();
                let _ = asks.send(Census { standings, stopping: self.stopping });
            }
            Order::Stacks { id, pid, lines } => self.with(id, |child, _| child.has_stacks(pid, lines)),
            Order::Signal { id, signal } => self.with(id, |child, _| child.signal(signal)),
            Order::Hear(connection) => connection.events.hear_all(&connection.name),
            Order::Look { id, slot } => {
                self.with(id, |child, watcher| child.on_seen(id, slot, What::Message, watcher));
            }
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
        let (changes, status) = (child.take_changes(before), child.status().clone());
        for change in changes {
            publish(&status, &change);
            self.attending.iter().for_each(Doorbell::ring);
            self.tell(|reader| reader.put(id, change.clone()));
        }
    }

    /// Tells all that watch; one that has gone is forgotten.
    fn tell(&mut self, tell: impl Fn(&Stream)) {
        self.watching.retain(|reader| reader.upgrade().inspect(|reader| tell(reader)).is_some());
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
                    later!(error, group = group, "an essential group has failed too often: the application ends");
                    self.fatal = Some(group);
                    self.obey(Order::Stop { which: Which::All, grace: crate::system::GRACE, done: None });
                }
                Action::Done(done) => {
                    let _ = done.send(());
                }
            }
        }
    }

    /// Whether one lives that was spawned after it.
    fn is_needed(&self, id: u64) -> bool {
        self.children.values().any(|child| !child.is_over() && child.after().contains(&id))
    }

    /// Tells those to stop whose time has come.
    fn depart(&mut self) {
        for (id, grace) in std::mem::take(&mut self.kept) {
            match self.is_needed(id) {
                true => self.kept.push((id, grace)),
                false => self.with(id, |child, _| child.stop(grace)),
            }
        }
        while let Some(departure) = &mut self.departure {
            let (children, grace) = (&self.children, departure.grace);
            let next = departure.next(|id| is_over(children, id));
            if next.is_empty() {
                return;
            }
            for whole in next {
                match whole {
                    Whole::Process(id) => self.with(id, |child, _| child.stop(grace)),
                    Whole::Group(id) => {
                        // Whoever waits, waits for all processes, not for this.
                        let (mut actions, (done, _)) = (Vec::new(), mpsc::channel());
                        self.groups.stop(id, grace, done, Instant::now(), &mut actions);
                        self.act(actions);
                    }
                }
            }
            self.settle();
        }
    }

    fn end_if_fatal(&self) {
        /// `EX_SOFTWARE` of sysexits.h.
        const SOFTWARE: i32 = 70;
        if let Some(group) = &self.fatal
            && self.children.values().all(Child::is_over)
        {
            logs::finish();
            // Not `eprintln`: it panics if standard error is gone.
            let _ = writeln!(io::stderr(), "error: could not go on without {group}: it failed too often");
            std::process::exit(SOFTWARE);
        }
    }

    fn forget_those_over(&mut self) {
        let children = &self.children;
        let gone: Vec<u64> = self.forgotten.extract_if(.., |id| is_over(children, *id)).collect();
        gone.into_iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: u64) {
        let Some(child) = self.children.remove(&id) else { return };
        // Another one may have the name by now.
        if self.names.get(child.name()) == Some(&id) {
            self.names.remove(child.name());
        }
        self.tell(|reader| reader.forget(id));
    }

    fn answer_stops(&mut self) {
        let children = &self.children;
        self.stops.retain(|stop| {
            let gone = stop.children.iter().all(|id| is_over(children, *id));
            if gone {
                let _ = stop.done.send(());
            }
            !gone
        });
    }
}

/// Whether there is no such child, or it won't be back.
fn is_over(children: &HashMap<u64, Child>, id: u64) -> bool {
    children.get(&id).is_none_or(Child::is_over)
}

/// Lets nothing begin, and leaves nobody waiting for it.
fn refuse(plan: &Plan, why: &'static str) {
    let exit = Some((Exit::Failed(why.to_owned()), Vec::new()));
    let change = Change { exit, ..Change::of(plan.blueprint.name.clone(), State::Failed) };
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
        status.set_text(Text::LastExit, &exit.shortened(Text::LastExit.capacity()));
    }
    if change.state == State::Starting {
        status.set(Number::StartedNs, monotonic_ns());
    } else if change.pid.is_none() {
        // What it said of itself isn't true any more.
        status.set(Number::Condition, 0);
        status.set_text(Text::Detail, "");
    }
}
