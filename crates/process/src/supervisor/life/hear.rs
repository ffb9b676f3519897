//! What a process says, by its line and by its output.

use std::{sync::Arc, time::Instant};

use super::{Child, News, Phase, heart::look_every, incarnation::Incarnation};
use crate::{
    Change, Exit, State,
    line::{Heard, Line, Right},
    logs::{self, later},
    message::{Kind, Lost, Message},
    supervisor::{
        output::{More, Stream},
        watch::{Watcher, What},
    },
};

/// As much is taken from one child in a round; then the others get their turn. What is large is copied here, at some
/// gigabytes a second: a round is a few milliseconds, and the largest single message some 100.
const A_ROUND: Share = Share { messages: 64, bytes: 8 << 20 };
/// All that there is, of one that says no more.
const ALL: Share = Share { messages: usize::MAX, bytes: usize::MAX };

/// How much may be taken still.
#[derive(Clone, Copy, Debug)]
struct Share {
    messages: usize,
    bytes: usize,
}

impl Share {
    /// So much of it was taken.
    fn take(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_left(self) -> bool {
        self.messages > 0 && self.bytes > 0
    }
}

impl Child {
    pub(in crate::supervisor) fn on_seen(&mut self, id: u64, slot: u64, what: What, watcher: &mut Watcher) {
        let name = self.name().to_owned();
        let is_at_work = slot == self.slot;
        let Some(incarnation) = self.at(slot) else { return };
        match what {
            What::Ended if is_at_work => self.ended(watcher),
            What::Ended => self.beside_ended(watcher),
            What::Room => {
                incarnation.launched.line.room_came();
                self.plan.connection.has_room();
            }
            What::Message => {
                self.hear(slot, watcher);
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

    pub(super) fn hear(&mut self, slot: u64, watcher: &mut Watcher) {
        let right = self.at(slot).and_then(|incarnation| incarnation.launched.line.for_supervisor());
        if let Some(mut right) = right {
            self.hear_some(&mut right, slot, watcher, A_ROUND);
        }
    }

    /// Of one that has ended: all that it has said.
    pub(super) fn hear_last_words(&mut self, slot: u64, watcher: &mut Watcher) {
        let right = self.at(slot).map(|incarnation| incarnation.launched.line.for_last_words());
        if let Some(mut right) = right {
            self.hear_some(&mut right, slot, watcher, ALL);
            right.line().hang_up();
        }
    }

    fn hear_some(&mut self, right: &mut Right, slot: u64, watcher: &mut Watcher, mut share: Share) {
        let foreign = self.is_foreign();
        while share.is_left() {
            let Some(incarnation) = self.at(slot) else { return };
            let heard = right.hear();
            share.take(if let Heard::Message(message) = &heard { message.body.bytes.len() } else { 0 });
            match heard {
                Heard::Nothing => return,
                Heard::Message(message) => self.heard(slot, right, message),
                Heard::Lost(lost) => self.lost(slot, right, lost),
                Heard::NotAMessage(error) => later!(warn, process = self.name(), "could not {error}"),
                Heard::Gone if foreign => {
                    watcher.remove_one(What::Message, &incarnation.launched);
                    // It has become the other program: that closed its line.
                    let runs = incarnation.announced && incarnation.last_words.is_none();
                    if runs && self.plan.ready_line.is_none() {
                        self.is_ready(slot);
                    }
                    return;
                }
                // It has closed its line, or what it says can't be received. Whoever can't be talked to is killed;
                // usually it is dying anyway, and its exit tells more.
                Heard::Gone => return incarnation.hang_up(watcher),
                Heard::Broken(error) => {
                    incarnation.killed_for = Some(Exit::Failed(format!("its line broke: could not {error}")));
                    return incarnation.hang_up(watcher);
                }
            }
        }
    }

    fn heard(&mut self, slot: u64, right: &Right, message: Message) {
        let message = match self.plan.connection.deliver(right.line(), message) {
            // Whatever it may be due for now is looked at when all this has been heard.
            Ok(_) => return,
            Err(message) => message,
        };
        let name = self.name().to_owned();
        let is_foreign = self.is_foreign();
        let Some(incarnation) = self.at(slot) else { return };
        let text = || message.read::<String>().unwrap_or_else(|error| format!("(could not {error})"));
        match message.kind {
            Kind::Ready if is_foreign => incarnation.announced = true,
            Kind::Ready => self.is_ready(slot),
            Kind::Event => {
                let number = incarnation.number;
                self.plan.connection.events.put(number, message.body, message.id, &name);
            }
            Kind::Log => match message.read() {
                Ok(record) => logs::relay(&name, record),
                Err(error) => later!(warn, process = name, "could not {error}"),
            },
            Kind::Failed => incarnation.last_words = Some(Exit::Failed(text())),
            Kind::Panic => incarnation.last_panic = Some(text()),
            other => later!(warn, process = name, "a child said {other:?}, which only a parent says"),
        }
    }

    /// What can't be received is its own misfortune, and not its process's.
    fn lost(&mut self, slot: u64, right: &Right, lost: Lost) {
        let Err(lost) = self.plan.connection.deliver_lost(right.line(), lost) else { return };
        later!(warn, process = self.name(), "what it said ({:?}) is lost: could not {}", lost.kind, lost.why);
        let Some(incarnation) = self.at(slot) else { return };
        let (number, text) = (incarnation.number, format!("(could not {})", lost.why));
        match lost.kind {
            Kind::Event => {
                let connection = &self.plan.connection;
                connection.events.lose(number, lost.id.saturating_add(1), connection);
            }
            Kind::Failed => incarnation.last_words = Some(Exit::Failed(text)),
            Kind::Panic => incarnation.last_panic = Some(text),
            _ => {}
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
        let (number, line) = (incarnation.number, incarnation.launched.line.clone());
        self.phase = Phase::Ready { incarnation, since: now };
        let change = self.change();
        self.open(number, line, change);
        if !std::mem::replace(&mut self.started, true) {
            let _ = self.plan.ready.send(Ok(()));
        }
    }

    /// An incarnation's heart is looked at from now on.
    pub(super) fn begin_work(&self, incarnation: &mut Incarnation, now: Instant) {
        incarnation.beat = (0, now);
        incarnation.beat_at = self.plan.responsive_within.map(|limit| now + look_every(limit));
    }

    /// Calls go to this incarnation from now on, which is this change.
    pub(super) fn open(&mut self, number: u64, line: Arc<Line>, change: Change) {
        if self.is_foreign() {
            return self.take_down(change);
        }
        self.plan.connection.open(number, line, &change);
        self.changes.push(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(mut share: Share, bytes: usize) -> usize {
        (0..10_000).take_while(|_| share.is_left().then(|| share.take(bytes)).is_some()).count()
    }

    #[test]
    fn a_round_ends_with_many_messages_or_many_bytes() {
        assert_eq!(taken(A_ROUND, 100), 64);
        assert_eq!(taken(A_ROUND, 1 << 20), 8);
        assert_eq!(taken(A_ROUND, 256 << 20), 1, "one in any case");
        assert_eq!(taken(ALL, 256 << 20), 10_000);
    }
}
