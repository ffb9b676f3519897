//! How a process says things unasked, and what bounds that.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use shm::wire::Packet;

use super::Line;
use crate::events::weight;

/// As much waits for room in the line to a parent that is slow for a moment; what comes then is lost, and counted.
const MOST_WAITING_BYTES: usize = 16 << 20;

/// What an event that waits takes beside its content.
const EVENT_BYTES: usize = 64;

/// How long the last ones are waited for at the end.
const SAID_WITHIN: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Emitter {
    line: Line,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// How many more may be said before some are read; `None`: any number.
    credit: Option<u64>,
    /// How many were lost since the last one that wasn't.
    lost: u64,
    /// Without a credit: what the line had no room for.
    waiting: VecDeque<Packet>,
    waiting_bytes: usize,
    /// A thread is saying what waits. There is none otherwise.
    is_saying: bool,
}

impl Emitter {
    pub(super) fn new(line: Line, credit: Option<u64>) -> Self {
        let (waiting, waiting_bytes) = Default::default();
        let state = State { credit, lost: 0, waiting, waiting_bytes, is_saying: false };
        Self { line, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Says it. With a credit, that waits until there is some. Without, it never waits: what the line has no room for just now is
    /// said by a thread, in order.
    pub(super) fn emit(self: &Arc<Self>, event: &Packet) {
        let state = self.lock();
        let mut state =
            self.changed.wait_while(state, |state| state.credit == Some(0)).unwrap_or_else(PoisonError::into_inner);
        let Some(credit) = state.credit else { return self.emit_freely(state, event) };
        state.credit = Some(credit - 1);
        // The lock goes first: this may wait for the parent, while the control thread brings more.
        if !self.say(state, event) {
            let mut state = self.lock();
            // Nobody will read it, so nobody would give back what it took.
            state.credit = state.credit.map(|credit| credit.saturating_add(1));
        }
    }

    fn emit_freely(self: &Arc<Self>, mut state: MutexGuard<'_, State>, event: &Packet) {
        if !state.is_saying && self.line.try_event(state.lost, event, false) {
            state.lost = 0;
            return;
        }
        let bytes = weight(event) + EVENT_BYTES;
        if state.waiting_bytes + bytes > MOST_WAITING_BYTES {
            state.lost += 1;
            return;
        }
        state.waiting_bytes += bytes;
        state.waiting.push_back(event.clone());
        if state.is_saying {
            return;
        }
        let emitter = self.clone();
        state.is_saying = true;
        drop(state);
        if thread::Builder::new().name("events".to_owned()).spawn(move || emitter.say_what_waits()).is_err() {
            let mut state = self.lock();
            state.lost += state.waiting.len() as u64;
            state.waiting.clear();
            (state.waiting_bytes, state.is_saying) = (0, false);
        }
    }

    fn say_what_waits(&self) {
        loop {
            let mut state = self.lock();
            let Some(event) = state.waiting.pop_front() else {
                state.is_saying = false;
                drop(state);
                return self.changed.notify_all();
            };
            state.waiting_bytes -= weight(&event) + EVENT_BYTES;
            self.say(state, &event);
        }
    }

    /// Says one, however long that takes, together with how many were lost before it; `false` if it is lost too.
    fn say(&self, mut state: MutexGuard<'_, State>, event: &Packet) -> bool {
        let lost = std::mem::take(&mut state.lost);
        drop(state);
        let is_said = self.line.try_event(lost, event, true);
        if !is_said {
            self.lock().lost += lost + 1;
        }
        is_said
    }

    /// The process ends: waits until all is said, but not long.
    pub(super) fn finish(&self) {
        let is_saying = |state: &mut State| state.is_saying;
        drop(self.changed.wait_timeout_while(self.lock(), SAID_WITHIN, is_saying));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many were read.
    pub(super) fn more(&self, read: u64) {
        let mut state = self.lock();
        state.credit = state.credit.map(|credit| credit.saturating_add(read));
        drop(state);
        self.changed.notify_all();
    }

    /// The process is to stop: nobody waits here any more.
    pub(super) fn end(&self) {
        self.lock().credit = None;
        self.changed.notify_all();
    }
}
