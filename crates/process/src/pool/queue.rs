//! Tasks that no worker has yet.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

use super::task::{Place, Task};

/// Levels stay when they are empty, for most pools have one or two; those of a pool with more don't add up.
const MAX_EMPTY_LEVELS: usize = 8;

/// By priority, then in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    levels: BTreeMap<Reverse<i32>, VecDeque<Task>>,
    count: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn push(&mut self, task: Task) {
        self.count += 1;
        self.levels.entry(Reverse(task.priority)).or_default().push_back(task);
    }

    /// Puts a task back that a worker had: it is the next of its priority.
    pub(super) fn push_first(&mut self, task: Task) {
        self.count += 1;
        self.levels.entry(Reverse(task.priority)).or_default().push_front(task);
    }

    pub(super) fn pop(&mut self) -> Option<Task> {
        let task = self.levels.values_mut().find_map(VecDeque::pop_front)?;
        self.count -= 1;
        if self.count == 0 && self.levels.len() > MAX_EMPTY_LEVELS {
            self.levels.clear();
        }
        Some(task)
    }

    /// Whether the next one goes to the same worker as the one before it.
    pub(super) fn next_is_joined(&self) -> bool {
        self.levels.values().find_map(VecDeque::front).is_some_and(|task| task.joined)
    }

    /// Takes out all that belong to `place`.
    pub(super) fn take(&mut self, place: &Place) -> Vec<Task> {
        let mut taken = Vec::new();
        for level in self.levels.values_mut() {
            let (theirs, others) = std::mem::take(level).into_iter().partition(|task| task.home.is(place));
            let theirs: VecDeque<Task> = theirs;
            taken.extend(theirs);
            *level = others;
        }
        self.count -= taken.len();
        taken
    }

    /// Takes out all.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Task> {
        self.count = 0;
        std::mem::take(&mut self.levels).into_values().flatten()
    }
}
