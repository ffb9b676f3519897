//! What a process says, by its line and by its output.

use std::{sync::Arc, time::Instant};

use rustix::process::Signal;
use shm::wire::{ReceiveError, Socket};

use super::{Child, News, Phase, heart::look_every, incarnation::Incarnation};
use crate::{
    CallError, Exit, State, logs,
    message::{Failure, Kind, Message},
    supervisor::{
        output::{More, Stream},
        watch::{Watcher, What},
    },
};

/// As many messages are taken from one child in a round; then the others get their turn.
const MESSAGES_A_ROUND: usize = 64;

impl Child {
    pub(in crate::supervisor) fn on_seen(&mut self, id: u64, slot: u64, what: What, watcher: &mut Watcher) {
        let name = self.name().to_owned();
        let is_at_work = slot == self.slot;
        let Some(incarnation) = self.at(slot) else { return };
        match what {
            What::Ended if is_at_work => self.ended(watcher),
            What::Ended => self.beside_ended(watcher),
            What::Message => {
                self.hear(id, slot, watcher, MESSAGES_A_ROUND);
                self.finish_beside(Instant::now());
            }
            What::Stdout | What::Stderr => {
                let (stream, pipe) = match what {
                    What::Stdout => (Stream::Stdout, &incarnation.launched.stdout),
                    _ => (Stream::Stderr, &incarnation.launched.stderr),
                };
                if incarnation.output.read(&name, stream, pipe) == More::Never {
                    watcher.remove_one(what, &incarnation.launched);
                }
                if incarnation.output.has_awaited() {
                    self.is_ready(slot);
                }
            }
        }
        // It may have answered a call more, or its predecessor be gone.
        self.recycle_if_due(id, watcher, Instant::now());
    }

    pub(super) fn hear(&mut self, id: u64, slot: u64, watcher: &mut Watcher, at_most: usize) {
        let foreign = self.is_foreign();
        for _ in 0..at_most {
            let Some(incarnation) = self.at(slot) else { return };
            let packet = match incarnation.launched.socket.try_receive() {
                Ok(packet) => packet,
                Err(ReceiveError::Empty) => return,
                Err(ReceiveError::Gone) if foreign => {
                    watcher.remove_one(What::Message, &incarnation.launched);
                    // It has become the other program: that closed its line.
                    let runs = incarnation.announced && incarnation.last_words.is_none();
                    if runs && self.plan.ready_line.is_none() {
                        self.is_ready(slot);
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
                Ok(message) => self.heard(slot, &message),
                Err(error) => tracing::warn!(process = self.name(), id, "could not {error}"),
            }
        }
    }

    fn heard(&mut self, slot: u64, message: &Message) {
        let name = self.name().to_owned();
        let is_foreign = self.is_foreign();
        let Some(incarnation) = self.at(slot) else { return };
        let text = || message.read::<String>().unwrap_or_else(|error| format!("(could not {error})"));
        match message.kind {
            Kind::Ready if is_foreign => incarnation.announced = true,
            Kind::Ready => self.is_ready(slot),
            Kind::Answer => {
                incarnation.answered += 1;
                self.plan.connection.answer(message.id, Ok(message.body.clone()));
            }
            Kind::CallFailed => {
                incarnation.answered += 1;
                let failure = message.read::<Failure>();
                let Failure { why, trace } =
                    failure.unwrap_or_else(|error| Failure { why: error.to_string(), trace: None });
                self.plan.connection.answer(message.id, Err(CallError::HandlerFailed { name, why, trace }));
            }
            Kind::Event => {
                let (number, connection) = (incarnation.number, &self.plan.connection);
                connection.events.put(number, message.body.clone(), message.id, connection);
            }
            Kind::Log => match message.read() {
                Ok(record) => logs::relay(&name, record),
                Err(error) => tracing::warn!(process = name, "could not {error}"),
            },
            Kind::Failed => incarnation.last_words = Some(Exit::Failed(text())),
            Kind::Panic => incarnation.last_panic = Some(text()),
            other => tracing::warn!(process = name, "a child said {other:?}, which only a parent says"),
        }
    }

    fn is_ready(&mut self, slot: u64) {
        if slot == self.slot { self.ready() } else { self.take_over() }
    }

    fn ready(&mut self) {
        if matches!(self.phase, Phase::Starting { .. }) {
            self.news.push(News::Ready);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        let Phase::Starting { mut incarnation, .. } = phase else { return self.phase = phase };
        let now = Instant::now();
        self.begin_work(&mut incarnation, now);
        let (number, socket) = (incarnation.number, incarnation.launched.socket.clone());
        self.phase = Phase::Ready { incarnation, since: now };
        self.note(None);
        self.open(number, socket);
        if !std::mem::replace(&mut self.started, true) {
            let _ = self.plan.ready.send(Ok(()));
        }
    }

    /// An incarnation's heart is looked at from now on.
    pub(super) fn begin_work(&self, incarnation: &mut Incarnation, now: Instant) {
        incarnation.beat = (0, now);
        incarnation.beat_at = self.plan.responsive_within.map(|limit| now + look_every(limit));
    }

    /// Calls go to this incarnation from now on.
    pub(super) fn open(&self, number: u64, socket: Arc<Socket>) {
        if !self.is_foreign() {
            self.plan.connection.open(number, socket);
        }
    }
}
