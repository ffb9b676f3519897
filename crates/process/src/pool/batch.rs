//! Where the results of one `map` or `imap` meet the thread that reads them.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::task::Outcome;

#[derive(Debug, Default)]
pub(super) struct Batch {
    inner: Mutex<Inner>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    arrived: Vec<(u64, Outcome)>,
    waiting: Option<Wanted>,
}

/// What is worth waking the reader for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// This item (`None`: any).
    pub item: Option<u64>,
    /// Or so many.
    pub count: usize,
}

impl Batch {
    /// Puts a result down. `true`: the reader waits for it and is to be [woken](Self::wake).
    #[must_use]
    pub(super) fn put(&self, item: u64, outcome: Outcome) -> bool {
        let mut inner = self.lock();
        inner.arrived.push((item, outcome));
        let count = inner.arrived.len();
        let wanted = inner
            .waiting
            .is_some_and(|wanted| wanted.item.is_none_or(|wanted| wanted == item) || count >= wanted.count);
        if wanted {
            inner.waiting = None;
        }
        wanted
    }

    pub(super) fn wake(&self) {
        self.came.notify_all();
    }

    /// Takes what has arrived, into `place`; waits for what is wanted, until `end` (`None`: without limit). `false`: the
    /// limit is over.
    pub(super) fn take(&self, into: &mut Vec<(u64, Outcome)>, wanted: Option<Wanted>, end: Option<Instant>) -> bool {
        let mut inner = self.lock();
        let Some(wanted) = wanted else {
            std::mem::swap(&mut inner.arrived, into);
            return true;
        };
        loop {
            if !inner.arrived.is_empty() {
                inner.waiting = None;
                std::mem::swap(&mut inner.arrived, into);
                return true;
            }
            inner.waiting = Some(wanted);
            inner = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => {
                    self.came.wait_while(inner, |inner| inner.waiting.is_some()).unwrap_or_else(PoisonError::into_inner)
                }
                Some(Duration::ZERO) => {
                    inner.waiting = None;
                    return false;
                }
                Some(left) => {
                    self.came
                        .wait_timeout_while(inner, left, |inner| inner.waiting.is_some())
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
