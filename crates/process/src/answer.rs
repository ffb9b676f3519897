//! Where the answer to one call arrives, for whoever waits for it in whatever way.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use shm::wire::Packet;

use crate::{CallError, connection::lock};

/// Where one call's answer arrives.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    state: Mutex<AnswerState>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct AnswerState {
    answer: Option<Result<Packet, CallError>>,
    waker: Option<Waker>,
    /// Somebody sleeps until `came`: to wake nobody is a system call all the same.
    sleeps: bool,
}

impl Answer {
    pub(crate) fn give(&self, answer: Result<Packet, CallError>) {
        let mut state = lock(&self.state);
        state.answer = Some(answer);
        let (waker, sleeps) = (state.waker.take(), std::mem::take(&mut state.sleeps));
        // No lock may be held: who waits would wake up to wait for it, and an executor may poll, or drop, what it wakes
        // right here.
        drop(state);
        if sleeps {
            self.came.notify_one();
        }
        waker.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn take(&self) -> Option<Result<Packet, CallError>> {
        lock(&self.state).answer.take()
    }

    /// Waits until `end` (`None`: without limit).
    pub(crate) fn wait(&self, end: Option<Instant>) -> Option<Result<Packet, CallError>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(answer) = state.answer.take() {
                return Some(answer);
            }
            state.sleeps = true;
            state = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    pub(crate) fn poll(&self, waker: &Waker) -> Option<Result<Packet, CallError>> {
        let mut state = lock(&self.state);
        let answer = state.answer.take();
        if answer.is_none() {
            state.waker = Some(waker.clone());
        }
        answer
    }
}
