//! Planned replacement: for a while a process has two incarnations, the one at work and one beside it.
//!
//! ```text
//!   at work                      beside
//!   ───────                      ──────
//!   old    ── it is due ──────▶  Coming (new)      until it is ready; the old one goes on
//!   new    ◀─ it is ready ─────  Finishing (old)   until its calls are answered; new calls go to the new one
//!   new                          Stopping (old)    asked to stop, then by signals
//!   new                          nobody            until it is due again
//! ```
//!
//! If the old one dies while the new one comes, that becomes its restart. If the new one dies while the old one finishes, it
//! is restarted as always, and the old one finishes.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shm::{clock::monotonic_ns, status::Number};

use super::{Child, KILL_AGAIN_AFTER, Phase, chance, incarnation::Incarnation};
use crate::{
    Due, Exit,
    connection::Connection,
    far::after,
    grace::until_term,
    logs::later,
    recycle::{Recycling, Service},
    supervisor::{Change, Replacement, State, watch::Watcher},
    system::GRACE,
};

/// How often it is looked at whether the old one has finished, beside each of its answers: a call may be cancelled, or still
/// be on its way.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Beside {
    pub incarnation: Incarnation,
    pub stage: Stage,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// The replacement: it has until then to be ready.
    Coming { why: Due, deadline: Instant },
    /// The predecessor has until then to answer its calls and to stop.
    Finishing { until: Instant, look_at: Instant },
    /// The predecessor was asked to stop.
    Stopping { terminate_at: Option<Instant>, kill_at: Instant },
    /// A replacement that isn't wanted any more was killed.
    Unwanted { kill_at: Instant },
}

impl Beside {
    pub(super) fn due(&self) -> Instant {
        let at = match self.stage {
            Stage::Coming { deadline, .. } => deadline,
            Stage::Finishing { look_at, .. } => look_at,
            Stage::Stopping { terminate_at, kill_at } => terminate_at.unwrap_or(kill_at),
            Stage::Unwanted { kill_at } => kill_at,
        };
        self.incarnation.look_at.map_or(at, |look_at| look_at.min(at))
    }

    /// It is to be gone within `grace`: asked, then by signals.
    pub(super) fn stop(&mut self, grace: Duration, is_foreign: bool, connection: &Connection) {
        let now = Instant::now();
        self.stage = match self.stage {
            Stage::Coming { .. } => {
                self.incarnation.launched.signal(Signal::KILL);
                Stage::Unwanted { kill_at: now + KILL_AGAIN_AFTER }
            }
            Stage::Finishing { .. } => {
                ask_to_stop(&self.incarnation, is_foreign, grace, connection);
                Stage::Stopping {
                    terminate_at: (!is_foreign).then(|| after(now, until_term(grace))),
                    kill_at: after(now, grace),
                }
            }
            // Whoever is in a greater hurry decides.
            Stage::Stopping { terminate_at, kill_at } => Stage::Stopping {
                terminate_at: terminate_at.map(|at| at.min(after(now, until_term(grace)))),
                kill_at: kill_at.min(after(now, grace)),
            },
            unwanted @ Stage::Unwanted { .. } => unwanted,
        };
    }
}

/// The first step of a stop; [`until_term`] later comes the signal.
pub(super) fn ask_to_stop(incarnation: &Incarnation, is_foreign: bool, grace: Duration, connection: &Connection) {
    if is_foreign {
        // It can't be asked but by the signal.
        return incarnation.launched.signal(Signal::TERM);
    }
    connection.tell_stop(incarnation.number, Instant::now().checked_add(grace));
}

impl Child {
    /// When it must be looked at whether it is to be replaced.
    pub(super) fn recycle_at(&self) -> Option<Instant> {
        self.recycling.as_ref()?.next_look(&self.service()?)
    }

    /// Everything is being stopped: nobody is replaced any more.
    pub(in crate::supervisor) fn recycle_no_more(&mut self) {
        self.recycling = None;
    }

    /// What the incarnation at work has done, if it could be replaced now.
    fn service(&self) -> Option<Service> {
        let Phase::Ready { incarnation, since } = &self.phase else { return None };
        let Incarnation { memory_bytes, chance, .. } = *incarnation;
        let answered = incarnation.launched.line.answered();
        self.beside.is_none().then_some(Service { since: *since, answered, memory_bytes, chance })
    }

    pub(super) fn recycle_if_due(&mut self, id: u64, watcher: &mut Watcher, now: Instant) {
        let Some(service) = self.service() else { return };
        let Some(recycling) = &mut self.recycling else { return };
        recycling.passed(now);
        let Some(why) = recycling.due(&service, now) else { return };
        let slot = self.slot ^ 1;
        self.plan.status.clear_part(slot);
        match self.incarnate(id, slot, Some(self.working), watcher) {
            Ok(incarnation) => {
                let deadline = after(incarnation.begun, self.plan.ready_within);
                self.beside = Some(Beside { incarnation, stage: Stage::Coming { why, deadline } });
                self.note_replacement(Replacement::Starting(why), None);
            }
            Err(exit) => self.not_replaced(exit, &[]),
        }
    }

    /// The replacement is ready: it gets the calls from now on.
    pub(super) fn take_over(&mut self) {
        // One that was killed meanwhile may have said that it is ready before.
        let is_coming = |beside: &mut Beside| matches!(beside.stage, Stage::Coming { .. });
        if !matches!(self.phase, Phase::Ready { .. }) {
            return;
        }
        let Some(Beside { mut incarnation, stage: Stage::Coming { why, .. } }) = self.beside.take_if(is_coming) else {
            return;
        };
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        let Phase::Ready { incarnation: old, since } = phase else { return self.phase = phase };
        let now = Instant::now();
        self.slot ^= 1;
        self.working = incarnation.number;
        self.recycled += 1;
        self.recycling.iter_mut().for_each(|it| it.succeeded(why, now.duration_since(since), now, chance()));
        let age = now.duration_since(incarnation.begun).as_nanos() as u64;
        self.plan.status.set(Number::StartedNs, monotonic_ns().saturating_sub(age));
        self.plan.status.set(Number::Part, self.slot);
        self.begin_work(&mut incarnation, now);
        let (number, line) = (incarnation.number, incarnation.launched.line.clone());
        self.phase = Phase::Ready { incarnation, since: now };
        let until = after(now, self.plan.recycle.map_or(GRACE, |policy| policy.finish_within));
        self.beside = Some(Beside { incarnation: old, stage: Stage::Finishing { until, look_at: now } });
        let change = Change { replacement: Some(Replacement::TookOver), ..self.change() };
        self.open(number, line, change);
        self.finish_beside(now);
    }

    /// Asks the predecessor to stop once it has answered all its calls, or has no time left.
    pub(super) fn finish_beside(&mut self, now: Instant) {
        let is_foreign = self.is_foreign();
        let Some(Beside { incarnation, stage }) = &mut self.beside else { return };
        let Stage::Finishing { until, look_at } = stage else { return };
        let (until, connection) = (*until, &self.plan.connection);
        if is_foreign || now >= until || connection.is_drained(incarnation.number, &incarnation.launched.line) {
            let left = until.saturating_duration_since(now).max(GRACE);
            ask_to_stop(incarnation, is_foreign, left, connection);
            let terminate_at = (!is_foreign).then(|| after(now, until_term(left)));
            *stage = Stage::Stopping { terminate_at, kill_at: after(now, left) };
        } else {
            *look_at = until.min(now + LOOK_EVERY);
        }
    }

    pub(super) fn on_time_beside(&mut self, now: Instant) {
        let Some(Beside { incarnation, stage }) = &mut self.beside else { return };
        match stage {
            Stage::Coming { deadline, .. } if *deadline <= now => {
                incarnation.killed_for = Some(Exit::NotReadyInTime);
                incarnation.launched.signal(Signal::KILL);
                *deadline = now + KILL_AGAIN_AFTER;
            }
            Stage::Stopping { terminate_at, .. } if terminate_at.is_some_and(|at| at <= now) => {
                *terminate_at = None;
                incarnation.launched.signal(Signal::TERM);
            }
            Stage::Stopping { terminate_at: None, kill_at } | Stage::Unwanted { kill_at } if *kill_at <= now => {
                incarnation.launched.signal(Signal::KILL);
                *kill_at = now + KILL_AGAIN_AFTER;
            }
            Stage::Finishing { look_at, .. } if *look_at <= now => self.finish_beside(now),
            _ => {}
        }
        if self.beside.as_ref().is_some_and(|beside| beside.incarnation.look_at.is_some_and(|at| at <= now)) {
            self.look_at_memory(self.slot ^ 1, now);
        }
    }

    /// The one beside is to be gone: the process is being stopped, or its replacement would come in the way of others.
    pub(super) fn stop_beside(&mut self, grace: Duration) {
        let is_foreign = self.is_foreign();
        let Some(beside) = &mut self.beside else { return };
        let was_coming = matches!(beside.stage, Stage::Coming { .. });
        beside.stop(grace, is_foreign, &self.plan.connection);
        if was_coming {
            self.note_replacement(Replacement::NotWanted, None);
        }
    }

    pub(super) fn beside_ended(&mut self, watcher: &mut Watcher) {
        let slot = self.slot ^ 1;
        self.at(slot).into_iter().for_each(|incarnation| incarnation.launched.signal(Signal::KILL));
        self.hear_last_words(slot, watcher);
        if self.slot == slot {
            // It had become ready before it died.
            return self.ended(watcher);
        }
        let Some(Beside { incarnation, stage }) = self.beside.take() else { return };
        let number = incarnation.number;
        let (exit, lines) = incarnation.bury(&self.plan, watcher);
        match stage {
            Stage::Coming { .. } => self.not_replaced(exit.before_ready(), &lines),
            Stage::Unwanted { .. } => {}
            Stage::Finishing { .. } | Stage::Stopping { .. } => {
                let change = self.change();
                let replacement = Some(Replacement::PredecessorEnded(exit.clone()));
                self.take_down(Change { exit: Some((exit.clone(), lines)), replacement, ..change });
                self.plan.connection.close(number, &exit);
            }
        }
    }

    fn not_replaced(&mut self, exit: Exit, lines: &[String]) {
        let delay = self.recycling.as_mut().map(|recycling: &mut Recycling| recycling.failed(Instant::now(), chance()));
        later!(warn, process = self.name(), "its replacement isn't ready, so it goes on itself: {exit}");
        for line in lines {
            later!(warn, process = self.name(), "    {line}");
        }
        self.note_replacement(Replacement::NotReady(exit), delay);
    }
}
