//! One worker, as its pool sees it.

use std::{
    collections::VecDeque,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use shm::lane::Position;

use super::{
    desk::{Desk, Sent},
    task::Task,
};
use crate::{Handle, supervisor::NotStarted};

/// Every worker may have one task beside that which it does, so that it needn't wait for the next.
const MIN_WINDOW: usize = 2;
/// Of short ones it may have more; beyond this nothing is gained.
const MAX_WINDOW: usize = 64;
/// They are as many as keep it busy for so long: several times what it takes the pool to be woken on a busy machine.
const WINDOW_NS: u64 = 1_000_000;

/// When a worker has answered nothing for so long, tasks that wait at it are given to an idle one.
const EVEN_OUT_AFTER: Duration = Duration::from_millis(1);
/// A task that is alone at a worker and that it hasn't begun for so long is given to another: the worker was stopped, or
/// is busy with something else. Longer than a loaded machine takes to wake it.
pub(super) const TAKE_LAST_AFTER: Duration = Duration::from_millis(50);

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not ready yet.
    Starting,
    /// Takes tasks.
    Working,
    /// It was told to stop, or has ended; it gets nothing more.
    Leaving,
}

#[derive(Debug)]
pub(super) struct Hand {
    pub number: u64,
    /// Whose place it takes.
    pub seat: usize,
    pub name: String,
    /// The only one: when it goes, nothing is left of the worker.
    pub handle: Handle,
    pub is_ready: Receiver<Result<(), NotStarted>>,
    pub stage: Stage,
    pub desk: Option<Desk>,
    /// What it has and hasn't answered, in the order in which it will.
    pub sent: VecDeque<Given>,
    /// So many more it may get.
    pub left: u64,
    /// So many it has answered.
    pub done: u64,
    /// Since when it works.
    pub since: Instant,
    /// When it last answered, or was given something after having had nothing.
    pub heard: Instant,
    mean_ns: u64,
    /// It had no room for a task; it may have when it answers.
    pub is_full: bool,
    /// It wants to be replaced.
    pub is_spent: bool,
    /// Tasks were taken back from it, for it was slow to begin them: others are given tasks first until it answers.
    pub is_slow: bool,
}

/// A task that a worker has.
#[derive(Debug)]
pub(super) struct Given {
    pub id: u64,
    pub at: Position,
    pub task: Task,
}

/// What waits at a worker, for another that has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Nothing,
    /// Not for long yet: it is to be looked at once more after this.
    Young(Duration),
    /// So many tasks can go to others, if it hasn't begun them.
    ToBeTaken(usize),
}

impl Waiting {
    /// At one that has `count` tasks and has answered nothing for so long.
    fn of(count: usize, silent: Duration) -> Self {
        let after = match count {
            0 => return Self::Nothing,
            1 => TAKE_LAST_AFTER,
            _ => EVEN_OUT_AFTER,
        };
        match after.saturating_sub(silent) {
            Duration::ZERO => Self::ToBeTaken((count / 2).max(1)),
            left => Self::Young(left),
        }
    }
}

impl Hand {
    pub(super) fn new(
        (number, seat, name): (u64, usize, String),
        (handle, is_ready): (Handle, Receiver<Result<(), NotStarted>>),
        max_tasks: Option<u64>,
    ) -> Self {
        let now = Instant::now();
        Self {
            number,
            seat,
            name,
            handle,
            is_ready,
            stage: Stage::Starting,
            desk: None,
            sent: VecDeque::new(),
            left: max_tasks.unwrap_or(u64::MAX),
            done: 0,
            since: now,
            heard: now,
            mean_ns: WINDOW_NS,
            is_full: false,
            is_spent: false,
            is_slow: false,
        }
    }

    /// Whether it fills its seat: it takes tasks, or will.
    pub(super) fn is_active(&self) -> bool {
        match self.stage {
            Stage::Starting => true,
            Stage::Working => self.left > 0 && !self.is_spent,
            Stage::Leaving => false,
        }
    }

    /// How many tasks it may be given now.
    pub(super) fn room(&self) -> usize {
        if self.stage != Stage::Working || self.is_full || self.is_spent {
            return 0;
        }
        let window = if self.is_slow { 1 } else { self.window() };
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        window.saturating_sub(self.sent.len()).min(left)
    }

    fn window(&self) -> usize {
        let fitting = usize::try_from(WINDOW_NS / self.mean_ns.max(1)).unwrap_or(MAX_WINDOW);
        fitting.clamp(MIN_WINDOW, MAX_WINDOW)
    }

    /// Whether its tasks are so short that its results come in crowds.
    pub(super) fn is_quick(&self) -> bool {
        !self.sent.is_empty() && self.window() > MIN_WINDOW
    }

    /// Gives it a task. Gives the task back if that didn't work, and why.
    pub(super) fn give(&mut self, id: u64, mut task: Task) -> Result<(), (Task, Sent)> {
        let Some(desk) = &mut self.desk else { return Err((task, Sent::Lost)) };
        match desk.send(id, &mut task) {
            Sent::There(at) => {
                if self.sent.is_empty() {
                    self.heard = Instant::now();
                }
                self.sent.push_back(Given { id, at, task });
                self.left -= 1;
                Ok(())
            }
            other => Err((task, other)),
        }
    }

    /// It has answered this task. `None`: it doesn't have it, so the answer is late.
    pub(super) fn answered(&mut self, id: u64, took_ns: u64, now: Instant) -> Option<Task> {
        // Large results overtake small ones, so it isn't always the first.
        let index = self.sent.iter().position(|given| given.id == id)?;
        self.done += 1;
        self.heard = now;
        self.is_full = false;
        self.is_slow = false;
        self.mean_ns = if self.done == 1 { took_ns } else { (self.mean_ns * 7).saturating_add(took_ns) / 8 };
        self.sent.remove(index).map(|given| given.task)
    }

    /// Takes up to `count` tasks back that it hasn't begun, last ones first; gives them in that order.
    pub(super) fn take_back(&mut self, count: usize) -> Vec<Task> {
        let Some(desk) = &self.desk else { return Vec::new() };
        let mut taken = Vec::new();
        while taken.len() < count && self.sent.back().is_some_and(|last| desk.take_back(last.at)) {
            taken.extend(self.sent.pop_back().map(|given| given.task));
        }
        self.left = self.left.saturating_add(taken.len() as u64);
        self.is_slow |= !taken.is_empty();
        taken
    }

    /// What waits at it `now`.
    pub(super) fn waiting(&self, now: Instant) -> Waiting {
        let count = if self.stage == Stage::Working { self.sent.len() } else { 0 };
        Waiting::of(count, now.saturating_duration_since(self.heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_taken_or_looked_at_once_more_at_every_moment() {
        assert_eq!(Waiting::of(0, Duration::MAX), Waiting::Nothing);
        for (count, taken, after) in [(1, 1, TAKE_LAST_AFTER), (2, 1, EVEN_OUT_AFTER), (9, 4, EVEN_OUT_AFTER)] {
            for silent in (0..60_000).step_by(50).map(Duration::from_micros) {
                // A worker that is busy with its only task is woken for once, not again and again.
                match Waiting::of(count, silent) {
                    Waiting::ToBeTaken(so_many) => assert!(silent >= after && so_many == taken, "{count}, {silent:?}"),
                    Waiting::Young(left) => assert!(!left.is_zero() && silent + left == after, "{count}, {silent:?}"),
                    Waiting::Nothing => panic!("{count} are forgotten after {silent:?}"),
                }
            }
        }
    }
}
