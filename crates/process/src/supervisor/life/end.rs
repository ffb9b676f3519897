//! How a process is stopped, and what follows from its end.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Child, News, Phase, chance};
use crate::{
    Exit, State,
    memory_limit::NO_MEMORY,
    message::{Kind, Message},
    restart::Verdict,
    supervisor::{NotStarted, output::Stream, watch::Watcher},
};

/// A process whose main function was left by a panic.
const PANICKED: i32 = 101;

impl Child {
    pub(in crate::supervisor) fn stop(&mut self, grace: Duration) {
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

    pub(super) fn ended(&mut self, watcher: &mut Watcher) {
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

fn not_ready(exit: &Exit, lines: &[String]) -> NotStarted {
    let said = if lines.is_empty() { String::new() } else { format!("; it wrote: {}", lines.join(" | ")) };
    NotStarted { why: format!("{exit}{said}"), exit: Some(exit.clone()) }
}
