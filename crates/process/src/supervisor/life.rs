//! One process through all its incarnations: in which phase it is, and what moves it on.

mod beside;
mod end;
mod hear;
mod heart;
mod incarnation;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use shm::{
    status::{Number, StatusPage},
    wire::Packet,
};

use self::{beside::Beside, incarnation::Incarnation};
use super::{Change, Plan, Replacement, Standing, State, orders::Orders, watch::Watcher};
use crate::{
    Exit, Recycle,
    cgroup::{Leaf, NoTree},
    far::after,
    launch::{What as Becomes, launch},
    logs::later,
    memory_limit,
    recycle::Recycling,
    restart::History,
};

/// How a killed process is given up on: SIGKILL can't be refused, but a process in the kernel's hands (a dead disk)
/// may take it late. It is asked again after this.
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Child {
    plan: Plan,
    phase: Phase,
    /// Another incarnation: the replacement to come, or a predecessor that finishes. Never while it is over.
    beside: Option<Beside>,
    /// Which part of the status page the incarnation of `phase` writes, and by which mark the watcher knows it: 0 or 1. The
    /// one beside has the other.
    slot: u64,
    /// How many incarnations were launched.
    launched: u64,
    /// The number of the one that is at work, or was last.
    working: u64,
    history: History,
    recycling: Option<Recycling>,
    restarts: u64,
    recycled: u64,
    /// It is decided how it ends; what remains is the end of a predecessor.
    outcome: Option<Outcome>,
    /// Whether the first start succeeded: from then on it is restarted by its policy.
    started: bool,
    changes: Vec<Change>,
    news: Vec<News>,
    told_over: bool,
}

/// How a process ended for good.
struct Outcome {
    state: State,
    exit: Option<(Exit, Vec<String>)>,
}

/// What a process's group must hear.
#[derive(Clone, Copy, Debug)]
pub(super) enum News {
    /// It died, and its policy is to start it again. It had worked for so long.
    Died {
        worked: Option<Duration>,
    },
    /// It is down, as it was told.
    Down,
    Ready,
    /// It won't be back.
    Over,
}

/// The states of [`State`], each with what only it has.
enum Phase {
    Starting {
        incarnation: Incarnation,
        deadline: Instant,
    },
    Ready {
        incarnation: Incarnation,
        since: Instant,
    },
    /// `pause`: it is to be started again.
    Stopping {
        incarnation: Incarnation,
        terminate_at: Option<Instant>,
        kill_at: Instant,
        pause: bool,
    },
    /// `None`: when its group says so.
    Restarting {
        at: Option<Instant>,
    },
    Over {
        state: State,
    },
}

impl Child {
    pub(super) fn new(plan: Plan) -> Self {
        let phase = Phase::Over { state: State::Exited };
        let recycling = plan.recycle.map(Recycling::new);
        Self {
            plan,
            phase,
            beside: None,
            slot: 0,
            launched: 0,
            working: 0,
            history: History::default(),
            recycling,
            restarts: 0,
            recycled: 0,
            outcome: None,
            started: false,
            changes: Vec::new(),
            news: Vec::new(),
            told_over: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.plan.blueprint.name
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    pub(super) fn standing(&self, id: u64) -> Standing {
        let connection = &self.plan.connection;
        let beat = self.plan.status.view().get(Number::Heartbeat);
        let taken = self.plan.status.view().get(Number::CallsTaken);
        let has_something_to_do =
            (beat % 2 == 1 || connection.has_untaken(taken)) && !connection.events.holds_up(self.working);
        let heart = matches!(self.phase, Phase::Ready { .. }) && !self.is_foreign();
        let heart = heart.then_some((beat, has_something_to_do));
        Standing { id, name: self.name().to_owned(), state: self.state(), heart }
    }

    pub(super) fn status(&self) -> &Arc<StatusPage> {
        &self.plan.status
    }

    /// Whom it was spawned after.
    pub(super) fn after(&self) -> &[u64] {
        &self.plan.after
    }

    pub(super) fn has_group(&self) -> bool {
        self.plan.group.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over { .. })
    }

    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::Starting { .. } => State::Starting,
            Phase::Ready { .. } => State::Ready,
            Phase::Stopping { .. } => State::Stopping,
            Phase::Restarting { .. } => State::Restarting,
            Phase::Over { state } => *state,
        }
    }

    /// When it must be looked at, whatever happens.
    pub(super) fn due(&self) -> Option<Instant> {
        let beside = self.beside.as_ref().map(Beside::due);
        let due = [self.phase_due(), self.look_at(), self.beat_at(), self.tell_at(), self.recycle_at(), beside];
        due.into_iter().flatten().min()
    }

    fn look_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Starting { incarnation, .. } | Phase::Ready { incarnation, .. } => incarnation.look_at,
            _ => None,
        }
    }

    /// When it is told again what it had no room for.
    fn tell_at(&self) -> Option<Instant> {
        self.plan.connection.tell_at()
    }

    fn beat_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Ready { incarnation, .. } => incarnation.beat_at,
            _ => None,
        }
    }

    fn phase_due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Starting { deadline, .. } => Some(*deadline),
            Phase::Stopping { terminate_at, kill_at, .. } => Some(terminate_at.unwrap_or(*kill_at)),
            Phase::Restarting { at } => *at,
            Phase::Ready { .. } | Phase::Over { .. } => None,
        }
    }

    /// What is to be told, if anything happened since it was in `before`.
    pub(super) fn take_changes(&mut self, before: State) -> Vec<Change> {
        let changed = self.changes.last().map_or(before, |change| change.state) != self.state();
        if changed {
            self.note(None);
        }
        std::mem::take(&mut self.changes)
    }

    /// Takes down that something has changed.
    fn note(&mut self, exit: Option<(Exit, Vec<String>)>) {
        let change = self.change();
        self.take_down(Change { exit, ..change });
    }

    fn note_replacement(&mut self, replacement: Replacement, delay: Option<Duration>) {
        let change = self.change();
        self.take_down(Change { replacement: Some(replacement), delay, ..change });
    }

    fn change(&mut self) -> Change {
        let pid = self.incarnation().map(|incarnation| incarnation.launched.pid.as_raw_pid());
        let change = Change::of(self.name().to_owned(), self.state());
        Change { pid, restarts: self.restarts, recycled: self.recycled, ..change }
    }

    fn take_down(&mut self, change: Change) {
        // Before anybody hears of it who could ask.
        self.plan.connection.take_down(&change);
        self.changes.push(change);
    }

    /// The incarnation with this mark.
    fn at(&mut self, slot: u64) -> Option<&mut Incarnation> {
        match slot == self.slot {
            true => self.incarnation(),
            false => self.beside.as_mut().map(|beside| &mut beside.incarnation),
        }
    }

    fn incarnation(&mut self) -> Option<&mut Incarnation> {
        match &mut self.phase {
            Phase::Starting { incarnation, .. }
            | Phase::Ready { incarnation, .. }
            | Phase::Stopping { incarnation, .. } => Some(incarnation),
            Phase::Restarting { .. } | Phase::Over { .. } => None,
        }
    }

    pub(super) fn launch(&mut self, id: u64, watcher: &mut Watcher) {
        self.plan.status.set(Number::Part, self.slot);
        // Of all that have said something that nobody has read, one may still live.
        let besides = self.beside.as_ref().map(|beside| beside.incarnation.number);
        match self.incarnate(id, self.slot, besides, watcher) {
            Ok(incarnation) => {
                self.working = incarnation.number;
                self.phase =
                    Phase::Starting { deadline: after(incarnation.begun, self.plan.ready_within), incarnation };
                if self.is_started_once() {
                    // What its configuration holds, such as the end of a pipe, is that process's alone from now on.
                    self.plan.blueprint.config = Packet::default();
                }
                self.note(None);
            }
            Err(exit) => {
                self.follow(exit, Vec::new(), None);
                self.end_if_over();
            }
        }
    }

    fn is_started_once(&self) -> bool {
        self.plan.restart.is_temporary() && self.plan.recycle.is_none() && !self.has_group()
    }

    /// Makes an incarnation, in one of the two slots.
    fn incarnate(
        &mut self,
        id: u64,
        slot: u64,
        besides: Option<u64>,
        watcher: &mut Watcher,
    ) -> Result<Incarnation, Exit> {
        self.launched += 1;
        let number = self.launched;
        let group = self.own_group();
        self.plan.blueprint.surroundings.status_part = slot;
        let credit = self.plan.connection.events.credit(number, besides);
        let asked_at = if number == 1 { self.plan.asked_at } else { Instant::now() };
        let launched = launch(&self.plan.blueprint, &self.plan.status, credit, asked_at).and_then(|launched| {
            let calls = self.plan.recycle.and_then(Recycle::calls);
            match watcher.add(id, slot, calls, &launched) {
                Ok(()) => {
                    if !self.is_foreign() {
                        self.plan.connection.launched(number, &launched.line);
                    }
                    Ok(launched)
                }
                Err(error) => {
                    watcher.remove(&launched);
                    launched.reap();
                    Err(error.into())
                }
            }
        });
        match launched {
            Ok(launched) => Ok(Incarnation::new(number, launched, group, &self.plan, Instant::now())),
            Err(error) => {
                self.plan.tree.iter().zip(group).for_each(|(tree, group)| tree.bury(group));
                Err(Exit::Failed(format!("it could not be started: {error}")))
            }
        }
    }

    /// A control group for the next incarnation, where there are such. Where the kernel doesn't keep the memory limit,
    /// a resource limit bounds what happens between two looks.
    fn own_group(&mut self) -> Option<Leaf> {
        let (limit, name) = (self.plan.memory_limit, self.name());
        let group = self.plan.tree.as_ref().and_then(|tree| {
            let told = |error: &NoTree| later!(warn, process = name, "it has no control group: could not {error}");
            tree.leaf(name, limit).inspect_err(told).ok()
        });
        let is_kept = group.as_ref().is_some_and(|group| group.limit_bytes().is_some());
        let surroundings = &mut self.plan.blueprint.surroundings;
        surroundings.bound = limit.filter(|_| !is_kept).map(memory_limit::resource);
        surroundings.group = group.as_ref().map(Leaf::door);
        group
    }

    pub(super) fn on_time(&mut self, id: u64, watcher: &mut Watcher, orders: &Orders, now: Instant) {
        if self.beat_at().is_some_and(|at| at <= now) {
            self.look_at_heart(id, orders, now);
        }
        if self.look_at().is_some_and(|at| at <= now) {
            self.look_at_memory(self.slot, now);
        }
        if self.tell_at().is_some_and(|at| at <= now) {
            self.plan.connection.tell_again();
        }
        self.recycle_if_due(id, watcher, now);
        self.on_time_beside(now);
        if self.phase_due().is_none_or(|due| due > now) {
            return;
        }
        if matches!(self.phase, Phase::Starting { .. }) {
            // It may have said in time that it is ready, while the supervisor had something else to do.
            self.hear(self.slot, watcher);
        }
        match &mut self.phase {
            Phase::Restarting { .. } => self.again(id, watcher),
            Phase::Starting { incarnation, deadline } => {
                incarnation.killed_for = Some(Exit::NotReadyInTime);
                incarnation.launched.signal(Signal::KILL);
                *deadline = now + KILL_AGAIN_AFTER;
            }
            Phase::Stopping { incarnation, terminate_at: terminate_at @ Some(_), .. } => {
                *terminate_at = None;
                incarnation.launched.signal(Signal::TERM);
            }
            Phase::Stopping { incarnation, terminate_at: None, kill_at, .. } => {
                incarnation.launched.signal(Signal::KILL);
                *kill_at = now + KILL_AGAIN_AFTER;
            }
            Phase::Ready { .. } | Phase::Over { .. } => {}
        }
    }

    /// Starts it once more, if it waits for that.
    pub(super) fn again(&mut self, id: u64, watcher: &mut Watcher) {
        if matches!(self.phase, Phase::Restarting { .. }) {
            self.restarts += 1;
            self.launch(id, watcher);
        }
    }

    /// Its group leaves it to itself: it comes back after a delay of its own.
    pub(super) fn again_alone(&mut self, worked: Option<Duration>) {
        let delay = self.history.backoff.next(worked, self.plan.restart.longest(), chance());
        if let Phase::Restarting { at } = &mut self.phase {
            *at = Some(after(Instant::now(), delay));
            let change = self.change();
            self.take_down(Change { delay: Some(delay), ..change });
        }
    }

    /// Stops it, to be started again when its group says so.
    pub(super) fn pause(&mut self, grace: Duration) {
        match &mut self.phase {
            Phase::Restarting { at } if self.beside.is_none() => {
                *at = None;
                self.news.push(News::Down);
            }
            Phase::Restarting { .. } | Phase::Starting { .. } | Phase::Ready { .. } => {
                self.stop(grace);
                if let Phase::Stopping { pause, .. } = &mut self.phase {
                    *pause = self.started;
                    self.outcome = None;
                }
            }
            Phase::Stopping { .. } | Phase::Over { .. } => {}
        }
    }

    /// Its group has given up.
    pub(super) fn give_up(&mut self) {
        if matches!(self.phase, Phase::Restarting { .. }) {
            self.conclude(Outcome { state: State::Failed, exit: None });
            self.end_if_over();
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        let mut news = std::mem::take(&mut self.news);
        if self.is_over() && !std::mem::replace(&mut self.told_over, true) {
            news.push(News::Over);
        }
        news
    }

    /// Sends a signal to the incarnation at work, if it lives.
    pub(super) fn signal(&mut self, signal: Signal) {
        if let Some(incarnation) = self.incarnation() {
            incarnation.launched.signal(signal);
        }
    }

    fn is_foreign(&self) -> bool {
        self.plan.blueprint.what == Becomes::Foreign
    }
}

/// A random number from 0 to 1.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, which is no harm.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
