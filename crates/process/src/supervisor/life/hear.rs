//! What a process says, by its line and by its output.

use std::time::Instant;

use rustix::process::Signal;
use shm::wire::ReceiveError;

use super::{Child, News, Phase, heart::look_every};
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
    pub(in crate::supervisor) fn on_seen(&mut self, id: u64, what: What, watcher: &mut Watcher) {
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

    pub(super) fn hear(&mut self, id: u64, watcher: &mut Watcher, at_most: usize) {
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
                Ok(record) => logs::relay(&name, &record),
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
}
