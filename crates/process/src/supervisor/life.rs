//! One process through all its incarnations: in which phase it is, and what moves it on.

mod end;
mod hear;
mod heart;
mod incarnation;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use shm::status::StatusPage;

use self::incarnation::Incarnation;
use super::{Change, Plan, State, orders::Orders, watch::Watcher};
use crate::{
    Exit,
    launch::{What as Becomes, launch},
    restart::History,
};

/// How a killed process is given up on: SIGKILL can't be refused, but a process in the kernel's hands (a dead disk)
/// may take it late. It is asked again after this.
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Child {
    plan: Plan,
    phase: Phase,
    history: History,
    restarts: u64,
    /// Whether the first start succeeded: from then on it is restarted by its policy.
    started: bool,
    changes: Vec<Change>,
    news: Vec<News>,
    told_over: bool,
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
pub(super) enum Phase {
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
        let (changes, news) = (Vec::new(), Vec::new());
        Self { plan, phase, history: History::default(), restarts: 0, started: false, changes, news, told_over: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.plan.blueprint.name
    }

    pub(super) fn status(&self) -> &Arc<StatusPage> {
        &self.plan.status
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
        [self.phase_due(), self.look_at(), self.beat_at()].into_iter().flatten().min()
    }

    fn look_at(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Starting { incarnation, .. } | Phase::Ready { incarnation, .. } => incarnation.look_at,
            _ => None,
        }
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
            self.note(None, None);
        }
        std::mem::take(&mut self.changes)
    }

    fn note(&mut self, exit: Option<(Exit, Vec<String>)>, delay: Option<Duration>) {
        let pid = self.incarnation().map(|incarnation| incarnation.launched.pid.as_raw_pid());
        let (name, state) = (self.name().to_owned(), self.state());
        let change = Change { name, state, pid, restarts: self.restarts, exit, delay };
        // Before anybody hears of it who could ask.
        self.plan.connection.take_down(&change);
        self.changes.push(change);
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
        let launched =
            launch(&self.plan.blueprint, &self.plan.status, self.plan.connection.event_credit()).and_then(|launched| {
                match watcher.add(id, &launched) {
                    Ok(()) => Ok(launched),
                    Err(error) => {
                        watcher.remove(&launched);
                        launched.reap();
                        Err(error.into())
                    }
                }
            });
        match launched {
            Ok(launched) => {
                let now = Instant::now();
                let incarnation = Incarnation::new(launched, &self.plan, now);
                self.phase = Phase::Starting { incarnation, deadline: now + self.plan.ready_within };
                self.note(None, None);
            }
            Err(error) => {
                self.follow(Exit::Failed(format!("it could not be started: {error}")), Vec::new(), None);
                self.end_if_over();
            }
        }
    }

    pub(super) fn on_time(&mut self, id: u64, watcher: &mut Watcher, orders: &Orders, now: Instant) {
        if self.beat_at().is_some_and(|at| at <= now) {
            self.look_at_heart(id, orders, now);
        }
        if self.look_at().is_some_and(|at| at <= now) {
            self.look_at_memory(now);
        }
        if self.phase_due().is_none_or(|due| due > now) {
            return;
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
            *at = Some(Instant::now() + delay);
            self.note(None, Some(delay));
        }
    }

    /// Stops it, to be started again when its group says so.
    pub(super) fn pause(&mut self, grace: Duration) {
        match &mut self.phase {
            Phase::Restarting { at } => {
                *at = None;
                self.news.push(News::Down);
            }
            Phase::Starting { .. } | Phase::Ready { .. } => {
                self.stop(grace);
                if let Phase::Stopping { pause, .. } = &mut self.phase {
                    *pause = self.started;
                }
            }
            Phase::Stopping { .. } | Phase::Over { .. } => {}
        }
    }

    /// Its group has given up.
    pub(super) fn give_up(&mut self) {
        if matches!(self.phase, Phase::Restarting { .. }) {
            self.phase = Phase::Over { state: State::Failed };
            self.plan.connection.end();
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        let mut news = std::mem::take(&mut self.news);
        if self.is_over() && !std::mem::replace(&mut self.told_over, true) {
            news.push(News::Over);
        }
        news
    }

    /// Sends a signal, if it lives.
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
