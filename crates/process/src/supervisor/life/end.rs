//! How a process is stopped, and what follows from its end.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shm::status::Number;

use super::{
    Child, News, Outcome, Phase,
    beside::{Beside, Stage, ask_to_stop},
    chance,
};
use crate::{
    Change, Exit, State,
    far::after,
    grace::until_term,
    restart::Verdict,
    supervisor::{NotStarted, watch::Watcher},
    system::GRACE,
};

impl Child {
    pub(in crate::supervisor) fn stop(&mut self, grace: Duration) {
        let foreign = self.is_foreign();
        self.stop_beside(grace);
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        let now = Instant::now();
        self.phase = match phase {
            Phase::Starting { incarnation, .. } | Phase::Ready { incarnation, .. } => {
                ask_to_stop(&incarnation, foreign, grace, &self.plan.connection);
                let terminate_at = (!foreign).then(|| after(now, until_term(grace)));
                Phase::Stopping { incarnation, terminate_at, kill_at: after(now, grace), pause: false }
            }
            Phase::Restarting { at } => {
                // Its earlier end was its end.
                self.phase = Phase::Restarting { at };
                self.conclude(Outcome { state: State::Exited, exit: None });
                self.tell_that_it_was_stopped();
                return self.end_if_over();
            }
            // Whoever is in a greater hurry decides.
            Phase::Stopping { incarnation, terminate_at, kill_at, .. } => {
                let terminate_at = terminate_at.map(|at| at.min(after(now, until_term(grace))));
                Phase::Stopping { incarnation, terminate_at, kill_at: kill_at.min(after(now, grace)), pause: false }
            }
            other @ Phase::Over { .. } => other,
        };
    }

    pub(super) fn ended(&mut self, watcher: &mut Watcher) {
        // What it said before it ended is still to be heard, but not what a child of its own goes on to say.
        if let Some(incarnation) = self.incarnation() {
            incarnation.launched.signal(Signal::KILL);
        }
        self.hear_last_words(self.slot, watcher);
        let phase = std::mem::replace(&mut self.phase, Phase::Over { state: State::Exited });
        let (incarnation, since, stopping, pause) = match phase {
            Phase::Starting { incarnation, .. } => (incarnation, None, false, false),
            Phase::Ready { incarnation, since } => (incarnation, Some(since), false, false),
            Phase::Stopping { incarnation, pause, .. } => (incarnation, None, true, pause),
            other => return self.phase = other,
        };
        let number = incarnation.number;
        let (exit, lines) = incarnation.bury(&self.plan, watcher);
        let exit = if since.is_none() && !stopping { exit.before_ready() } else { exit };
        match stopping {
            false => self.follow(exit.clone(), lines, since),
            true => self.stopped((exit.clone(), lines), pause),
        }
        if stopping {
            self.tell_that_it_was_stopped();
        }
        self.plan.connection.close(number, &exit);
        self.end_if_over();
    }

    /// To whoever starts it, if it never was ready.
    fn tell_that_it_was_stopped(&self) {
        if !self.started {
            let _ = self.plan.ready.send(Err("it was stopped before it was ready".into()));
        }
    }

    /// One that was told to stop has ended.
    fn stopped(&mut self, exit: (Exit, Vec<String>), pause: bool) {
        if let Some(outcome) = self.outcome.take() {
            self.phase = Phase::Over { state: outcome.state };
            return self.note(outcome.exit);
        }
        if !pause {
            return self.conclude(Outcome { state: State::Exited, exit: Some(exit) });
        }
        match self.beside.take() {
            Some(beside) => self.see_off(beside, true),
            None => {
                self.phase = Phase::Restarting { at: None };
                self.news.push(News::Down);
            }
        }
        self.note(Some(exit));
    }

    /// It won't be back. If a predecessor or a replacement is still there, that goes first.
    pub(super) fn conclude(&mut self, outcome: Outcome) {
        let is_foreign = self.is_foreign();
        match self.beside.take() {
            Some(mut beside) => {
                if matches!(beside.stage, Stage::Coming { .. } | Stage::Finishing { .. }) {
                    beside.stop(GRACE, is_foreign, &self.plan.connection);
                }
                self.see_off(beside, false);
                self.outcome = Some(outcome);
            }
            None => {
                self.phase = Phase::Over { state: outcome.state };
                self.note(outcome.exit);
            }
        }
    }

    /// The one beside, which is being stopped, is the last one of this process.
    fn see_off(&mut self, beside: Beside, pause: bool) {
        let (terminate_at, kill_at) = match beside.stage {
            Stage::Stopping { terminate_at, kill_at } => (terminate_at, kill_at),
            Stage::Unwanted { kill_at } | Stage::Coming { deadline: kill_at, .. } => (None, kill_at),
            Stage::Finishing { until, .. } => (Some(until), until),
        };
        self.slot ^= 1;
        self.phase = Phase::Stopping { incarnation: beside.incarnation, terminate_at, kill_at, pause };
    }

    /// The last that is told of it: why it isn't ready, and how it ended, were told before.
    pub(super) fn end_if_over(&self) {
        if self.is_over() {
            self.plan.connection.end();
        }
    }

    /// Decides what comes after an end that nobody asked for.
    pub(super) fn follow(&mut self, exit: Exit, lines: Vec<String>, since: Option<Instant>) {
        let now = Instant::now();
        if self.started && self.has_group() && self.plan.restart.wants(&exit) {
            // How often, and who goes with it, is its group's affair.
            self.news.push(News::Died { worked: since.map(|since| now.duration_since(since)) });
            self.phase = Phase::Restarting { at: None };
            self.note(Some((exit, lines)));
            if matches!(&self.beside, Some(Beside { stage: Stage::Coming { .. }, .. })) {
                self.stop_beside(GRACE);
            }
            return;
        }
        let verdict = match self.started || self.plan.restart.wants_at_start(&exit) {
            true => self.history.judge(self.plan.restart, &exit, now, since, chance()),
            false => Verdict::GiveUp,
        };
        let told = not_ready(&exit, &lines);
        let exit = Some((exit, lines));
        let is_over = !matches!(verdict, Verdict::Again { .. });
        match verdict {
            Verdict::Again { delay } => self.again_after(delay, now, exit),
            Verdict::Enough => self.conclude(Outcome { state: State::Exited, exit }),
            Verdict::GiveUp => self.conclude(Outcome { state: State::Failed, exit }),
        }
        if !self.started && is_over {
            // Whoever starts it waits for this, unless it is gone itself.
            let _ = self.plan.ready.send(Err(told));
        }
    }
}

impl Child {
    /// It is to be started again; if its replacement is on the way, that is what is started.
    fn again_after(&mut self, delay: Duration, now: Instant, exit: Option<(Exit, Vec<String>)>) {
        let is_coming = |beside: &mut Beside| matches!(beside.stage, Stage::Coming { .. });
        if let Some(Beside { incarnation, stage: Stage::Coming { deadline, .. } }) = self.beside.take_if(is_coming) {
            self.slot ^= 1;
            self.working = incarnation.number;
            self.restarts += 1;
            self.plan.status.set(Number::Part, self.slot);
            self.phase = Phase::Starting { incarnation, deadline };
            return self.note(exit);
        }
        self.phase = Phase::Restarting { at: Some(after(now, delay)) };
        let change = self.change();
        self.take_down(Change { exit, delay: Some(delay), ..change });
    }
}

fn not_ready(exit: &Exit, lines: &[String]) -> NotStarted {
    let said = if lines.is_empty() { String::new() } else { format!("; it wrote: {}", lines.join(" | ")) };
    NotStarted { why: format!("{exit}{said}"), exit: Some(exit.clone()) }
}
