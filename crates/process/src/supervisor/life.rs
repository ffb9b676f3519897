//! One process through all its incarnations.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use shm::{
    status::{Number, StatusPage},
    wire::ReceiveError,
};

use super::{
    Change, NotStarted, Plan, Standing, State,
    orders::Orders,
    output::{More, Output, Stream},
    stacks,
    watch::{Watcher, What},
};
use crate::{
    CallError, Exit,
    launch::{Launched, What as Becomes, launch},
    logs,
    memory_limit::{self, LOOK_EVERY, NO_MEMORY},
    message::{Failure, Kind, Message},
    restart::{History, Verdict},
};

/// As many messages are taken from one child in a round; then the others get their turn.
const MESSAGES_A_ROUND: usize = 64;

/// A process whose main function was left by a panic.
const PANICKED: i32 = 101;

/// How a killed process is given up on: SIGKILL can't be refused, but a process in the kernel's hands (a dead disk)
/// may take it late. It is asked again after this.
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An unresponsive process is killed after this even if its stacks can't be read: its successor waits.
const STACKS_WITHIN: Duration = Duration::from_millis(500);

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

pub(super) struct Incarnation {
    launched: Launched,
    output: Output,
    /// What it said of its end before it came.
    last_words: Option<Exit>,
    last_panic: Option<String>,
    /// Why we killed it.
    killed_for: Option<Exit>,
    /// It closed its line first, and was killed for that.
    hung_up: bool,
    /// A foreign program that is about to become one: its line closes when it has.
    announced: bool,
    /// When its memory is looked at next.
    look_at: Option<Instant>,
    stacks: Vec<String>,
    /// Its heartbeat as it was seen first, and when.
    beat: (u64, Instant),
    /// When its heartbeat is looked at next, or, once it was found unresponsive, when it is killed at the latest.
    beat_at: Option<Instant>,
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

    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    pub(super) fn standing(&self, id: u64) -> Standing {
        let connection = &self.plan.connection;
        let beat = self.plan.status.view().get(Number::Heartbeat);
        let has_something_to_do = (beat % 2 == 1 || connection.has_pending()) && !connection.events.holds_up();
        let heart = matches!(self.phase, Phase::Ready { .. }) && !self.is_foreign();
        let heart = heart.then_some((beat, has_something_to_do));
        Standing { id, name: self.name().to_owned(), state: self.state(), heart }
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
                let incarnation = Incarnation {
                    launched,
                    output: Output::awaiting(self.plan.ready_line.clone()),
                    last_words: None,
                    last_panic: None,
                    killed_for: None,
                    hung_up: false,
                    announced: false,
                    look_at: self.plan.memory_limit.map(|_| now + LOOK_EVERY),
                    stacks: Vec::new(),
                    beat: (0, now),
                    beat_at: None,
                };
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

    fn look_at_memory(&mut self, now: Instant) {
        let limit_bytes = self.plan.memory_limit.unwrap_or(u64::MAX);
        let Some(incarnation) = self.incarnation() else { return };
        incarnation.look_at = Some(now + LOOK_EVERY);
        let has_bytes = memory_limit::private_bytes(incarnation.launched.pid.as_raw_pid());
        if has_bytes.is_some_and(|bytes| bytes > limit_bytes) {
            incarnation.killed_for = Some(Exit::OutOfMemory { limit_bytes });
            incarnation.launched.signal(Signal::KILL);
        }
    }

    fn look_at_heart(&mut self, id: u64, orders: &Orders, now: Instant) {
        let Some(limit) = self.plan.responsive_within else { return };
        let beat = self.plan.status.view().get(Number::Heartbeat);
        let has_something_to_do = beat % 2 == 1 || self.plan.connection.has_pending();
        let may_wait = self.plan.connection.events.holds_up();
        let Some(incarnation) = self.incarnation() else { return };
        if incarnation.killed_for == Some(Exit::Unresponsive) {
            // Its stacks are late.
            incarnation.beat_at = Some(now + KILL_AGAIN_AFTER);
            return incarnation.launched.signal(Signal::KILL);
        }
        if beat != incarnation.beat.0 || !has_something_to_do || may_wait {
            incarnation.beat = (beat, now);
        }
        incarnation.beat_at = Some(now + look_every(limit));
        if now.duration_since(incarnation.beat.1) >= limit {
            incarnation.killed_for = Some(Exit::Unresponsive);
            incarnation.beat_at = Some(now + STACKS_WITHIN);
            // Reading them can take a while, as whatever holds the process up may hold up who looks: not here.
            let asked = stacks::read(id, &incarnation.launched, orders.clone());
            if asked.is_err() {
                incarnation.launched.signal(Signal::KILL);
            }
        }
    }

    /// What the threads of an unresponsive process are at: now it can go.
    pub(super) fn has_stacks(&mut self, pid: i32, lines: Vec<String>) {
        if let Some(incarnation) = self.incarnation().filter(|incarnation| incarnation.launched.pid.as_raw_pid() == pid)
        {
            incarnation.stacks = lines;
            incarnation.launched.signal(Signal::KILL);
        }
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

    pub(super) fn on_seen(&mut self, id: u64, what: What, watcher: &mut Watcher) {
        let name = self.name().to_owned();
        let Some(incarnation) = self.incarnation() else { return };
        match what {
            What::Ended => self.ended(watcher),
            What::Message => self.hear(id, watcher, MESSAGES_A_ROUND),
            What::Stdout | What::Stderr => {
                let (stream, pipe) = match what {
                    What::Stdout => (Stream::Stdout, &incarnation.launched.stdout),
                    _ => (Stream::Stderr, &incarnation.launched.stderr),
                };
                if incarnation.output.read(&name, stream, pipe) == More::Never {
                    watcher.remove_one(what, &incarnation.launched);
                }
                if incarnation.output.has_awaited() {
                    self.ready();
                }
            }
        }
    }

    fn hear(&mut self, id: u64, watcher: &mut Watcher, at_most: usize) {
        let foreign = self.is_foreign();
        for _ in 0..at_most {
            let Some(incarnation) = self.incarnation() else { return };
            let packet = match incarnation.launched.socket.try_receive() {
                Ok(packet) => packet,
                Err(ReceiveError::Empty) => return,
                Err(ReceiveError::Gone) if foreign => {
                    watcher.remove_one(What::Message, &incarnation.launched);
                    // It has become the other program: that closed its line.
                    let runs = incarnation.announced && incarnation.last_words.is_none();
                    if runs && self.plan.ready_line.is_none() {
                        self.ready();
                    }
                    return;
                }
                Err(error) => {
                    // It has closed its line, or what it says can't be received. Whoever can't be talked to is
                    // killed; usually it is dying anyway, and its exit tells more.
                    if !matches!(error, ReceiveError::Gone) {
                        incarnation.killed_for = Some(Exit::Failed(format!("its line broke: could not {error}")));
                    }
                    watcher.remove_one(What::Message, &incarnation.launched);
                    incarnation.hung_up = true;
                    incarnation.launched.signal(Signal::KILL);
                    return;
                }
            };
            match Message::take_apart(packet) {
                Ok(message) => self.heard(&message),
                Err(error) => tracing::warn!(process = self.name(), id, "could not {error}"),
            }
        }
    }

    fn heard(&mut self, message: &Message) {
        let name = self.name().to_owned();
        let text = || message.read::<String>().unwrap_or_else(|error| format!("(could not {error})"));
        match message.kind {
            Kind::Ready if self.is_foreign() => {
                if let Some(incarnation) = self.incarnation() {
                    incarnation.announced = true;
                }
            }
            Kind::Ready => self.ready(),
            Kind::Answer => self.plan.connection.answer(message.id, Ok(message.body.clone())),
            Kind::CallFailed => {
                let failure = message.read::<Failure>();
                let Failure { why, trace } =
                    failure.unwrap_or_else(|error| Failure { why: error.to_string(), trace: None });
                self.plan.connection.answer(message.id, Err(CallError::HandlerFailed { name, why, trace }));
            }
            Kind::Event => self.plan.connection.events.put(message.body.clone(), message.id, &self.plan.connection),
            Kind::Log => match message.read() {
                Ok(record) => logs::relay(&name, record),
                Err(error) => tracing::warn!(process = name, "could not {error}"),
            },
            Kind::Failed => {
                let cause = text();
                if let Some(incarnation) = self.incarnation() {
                    incarnation.last_words = Some(Exit::Failed(cause));
                }
            }
            Kind::Panic => {
                let panic = text();
                if let Some(incarnation) = self.incarnation() {
                    incarnation.last_panic = Some(panic);
                }
            }
            other => tracing::warn!(process = name, "a child said {other:?}, which only a parent says"),
        }
    }

    fn ready(&mut self) {
        if matches!(self.phase, Phase::Starting { .. }) {
            self.news.push(News::Ready);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        let Phase::Starting { mut incarnation, .. } = phase else { return self.phase = phase };
        let now = Instant::now();
        incarnation.beat = (0, now);
        incarnation.beat_at = self.plan.responsive_within.map(|limit| now + look_every(limit));
        let socket = incarnation.launched.socket.clone();
        self.phase = Phase::Ready { incarnation, since: now };
        self.note(None, None);
        if !self.is_foreign() {
            self.plan.connection.open(socket);
        }
        if !std::mem::replace(&mut self.started, true) {
            let _ = self.plan.ready.send(Ok(()));
        }
    }

    pub(super) fn stop(&mut self, grace: Duration) {
        let foreign = self.is_foreign();
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        self.phase = match phase {
            Phase::Starting { incarnation, .. } | Phase::Ready { incarnation, .. } if foreign => {
                // It can't be asked but by the signal.
                incarnation.launched.signal(Signal::TERM);
                Phase::Stopping { incarnation, terminate_at: None, kill_at: Instant::now() + grace, pause: false }
            }
            Phase::Starting { incarnation, .. } | Phase::Ready { incarnation, .. } => {
                let stop = Message::wrap(Kind::Stop, 0, shm::wire::Packet::default());
                // A queue that is full belongs to a process that doesn't read; the signals are for that one.
                let _ = incarnation.launched.socket.try_send(&stop);
                let now = Instant::now();
                let (terminate_at, kill_at) = (Some(now + grace / 2), now + grace);
                Phase::Stopping { incarnation, terminate_at, kill_at, pause: false }
            }
            Phase::Restarting { .. } => {
                self.plan.connection.end();
                Phase::Over { state: State::Exited }
            }
            // Whoever is in a greater hurry decides.
            Phase::Stopping { incarnation, terminate_at, kill_at, .. } => {
                let now = Instant::now();
                let terminate_at = terminate_at.map(|at| at.min(now + grace / 2));
                let kill_at = kill_at.min(now + grace);
                Phase::Stopping { incarnation, terminate_at, kill_at, pause: false }
            }
            other @ Phase::Over { .. } => other,
        };
    }

    fn ended(&mut self, watcher: &mut Watcher) {
        let name = self.name().to_owned();
        // What it said before it ended is still to be heard, but not what a child of its own goes on to say.
        if let Some(incarnation) = self.incarnation() {
            incarnation.launched.signal(Signal::KILL);
        }
        self.hear(0, watcher, usize::MAX);
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        let (mut incarnation, since, stopping, pause) = match phase {
            Phase::Starting { incarnation, .. } => (incarnation, None, false, false),
            Phase::Ready { incarnation, since } => (incarnation, Some(since), false, false),
            Phase::Stopping { incarnation, pause, .. } => (incarnation, None, true, pause),
            other => return self.phase = other,
        };
        incarnation.output.finish(&name, Stream::Stdout, &incarnation.launched.stdout);
        incarnation.output.finish(&name, Stream::Stderr, &incarnation.launched.stderr);
        watcher.remove(&incarnation.launched);
        let exit = match (incarnation.launched.reap(), incarnation.last_panic, incarnation.last_words) {
            (exit, ..) if incarnation.killed_for.is_some() => incarnation.killed_for.unwrap_or(exit),
            (Exit::Code(PANICKED), Some(panic), _) => Exit::Panic(panic),
            (Exit::Code(_), _, Some(last_words)) => last_words,
            // Our signal overtook its own end.
            (Exit::Signal(_), _, Some(last_words)) if incarnation.hung_up => last_words,
            (exit, ..) => exit,
        };
        let mut lines = incarnation.output.take_last();
        lines.append(&mut incarnation.stacks);
        let no_memory = |limit_bytes| match &exit {
            Exit::Signal(_) if lines.iter().any(|line| line.starts_with(NO_MEMORY)) => {
                Some(Exit::OutOfMemory { limit_bytes })
            }
            _ => None,
        };
        let exit = self.plan.memory_limit.and_then(no_memory).unwrap_or(exit);
        let exit = if since.is_none() && !stopping { exit.before_ready() } else { exit };
        if pause {
            self.phase = Phase::Restarting { at: None };
            self.news.push(News::Down);
        }
        if stopping {
            self.note(Some((exit.clone(), lines)), None);
        } else {
            self.follow(exit.clone(), lines, since);
        }
        if stopping && !self.started {
            let _ = self.plan.ready.send(Err("it was stopped before it was ready".into()));
        }
        self.plan.connection.close(&exit);
        self.end_if_over();
    }

    /// The last that is told of it: why it isn't ready, and how it ended, were told before.
    fn end_if_over(&self) {
        if self.is_over() {
            self.plan.connection.end();
        }
    }

    /// Decides what comes after an end that nobody asked for.
    fn follow(&mut self, exit: Exit, lines: Vec<String>, since: Option<Instant>) {
        let now = Instant::now();
        if self.started && self.has_group() && self.plan.restart.wants(&exit) {
            // How often, and who goes with it, is its group's affair.
            self.news.push(News::Died { worked: since.map(|since| now.duration_since(since)) });
            self.phase = Phase::Restarting { at: None };
            return self.note(Some((exit, lines)), None);
        }
        let verdict = match self.started {
            true => self.history.judge(self.plan.restart, &exit, now, since, chance()),
            false => Verdict::GiveUp,
        };
        let mut wait = None;
        self.phase = match verdict {
            Verdict::Again { delay } => {
                wait = Some(delay);
                Phase::Restarting { at: Some(now + delay) }
            }
            Verdict::Enough => Phase::Over { state: State::Exited },
            Verdict::GiveUp => Phase::Over { state: State::Failed },
        };
        let told = not_ready(&exit, &lines);
        self.note(Some((exit, lines)), wait);
        if !self.started {
            // Whoever starts it waits for this, unless it is gone itself.
            let _ = self.plan.ready.send(Err(told));
        }
    }
}

/// How often a heartbeat is looked at: so that the limit is kept by a quarter.
fn look_every(limit: Duration) -> Duration {
    (limit / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}

fn not_ready(exit: &Exit, lines: &[String]) -> NotStarted {
    let said = if lines.is_empty() { String::new() } else { format!("; it wrote: {}", lines.join(" | ")) };
    NotStarted { why: format!("{exit}{said}"), exit: Some(exit.clone()) }
}

/// A random number from 0 to 1.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness there is no jitter, which is no harm.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}
