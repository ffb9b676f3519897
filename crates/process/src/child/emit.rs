//! How a process says things unasked, and what bounds that.

use std::sync::{Condvar, Mutex, PoisonError};

use shm::wire::Packet;

use super::Line;

#[derive(Debug)]
pub(crate) struct Emitter {
    line: Line,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// How many more may be said before some are read; `None`: as many as the line takes, the rest is lost.
    credit: Option<u64>,
    /// How many were lost since the last one that wasn't.
    lost: u64,
}

impl Emitter {
    pub(super) fn new(line: Line, credit: Option<u64>) -> Self {
        Self { line, state: Mutex::new(State { credit, lost: 0 }), changed: Condvar::new() }
    }

    /// Says it. With a credit, that waits until there is some; without, what can't be said at once is lost, and counted.
    pub(super) fn emit(&self, event: &Packet) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state =
            self.changed.wait_while(state, |state| state.credit == Some(0)).unwrap_or_else(PoisonError::into_inner);
        let waits = state.credit.is_some();
        state.credit = state.credit.map(|credit| credit - 1);
        let lost = std::mem::take(&mut state.lost);
        // The lock goes first: with a credit this may wait for the parent, while the control thread brings more.
        drop(state);
        if !self.line.try_event(lost, event, waits) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.lost += lost + 1;
            // Nobody will read it, so nobody would give back what it took.
            state.credit = state.credit.map(|credit| credit.saturating_add(1));
        }
    }

    /// So many were read.
    pub(super) fn more(&self, read: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.credit = state.credit.map(|credit| credit.saturating_add(read));
        drop(state);
        self.changed.notify_all();
    }

    /// The process is to stop: nobody waits here any more.
    pub(super) fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).credit = None;
        self.changed.notify_all();
    }
}
