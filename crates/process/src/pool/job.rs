//! One task of its own: what `apply_async` gives.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use super::{
    TaskError,
    office::Office,
    task::{Outcome, Place},
};

/// A task that was given to a pool. Dropping it doesn't cancel the task: [`cancel`](Self::cancel) does.
#[derive(Debug)]
pub struct Job<R> {
    slot: Arc<Slot>,
    office: Arc<Office>,
    answer: PhantomData<fn() -> R>,
}

/// Where the outcome of one job arrives.
#[derive(Debug, Default)]
pub(super) struct Slot {
    inner: Mutex<Inner>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// It has come; whoever took it first has it.
    is_done: bool,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
    then: Option<Then>,
}

struct Then(Box<dyn FnOnce(Outcome) + Send>);

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Then")
    }
}

impl<R: DeserializeOwned> Job<R> {
    pub(super) fn new(slot: Arc<Slot>, office: Arc<Office>) -> Self {
        Self { slot, office, answer: PhantomData }
    }

    /// Waits for its result, as long as it takes.
    ///
    /// # Errors
    ///
    /// See [`TaskError`]; never `TimedOut`.
    pub fn wait(self) -> Result<R, TaskError> {
        self.slot.wait(None).map_or(Err(TaskError::TimedOut), decode)
    }

    /// Waits for its result, no longer than `limit`.
    ///
    /// # Errors
    ///
    /// The job itself when the limit is over: the task goes on, ask again.
    pub fn wait_for(self, limit: Duration) -> Result<Result<R, TaskError>, Self> {
        match self.slot.wait(Instant::now().checked_add(limit)) {
            Some(outcome) => Ok(decode(outcome)),
            None => Err(self),
        }
    }

    /// Whether it has a result, or had one.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.slot.lock().is_done
    }

    /// Takes the task back, if no worker has begun it: it ends with [`TaskError::Cancelled`] then. What is begun can't be
    /// undone; `false` says so.
    pub fn cancel(&self) -> bool {
        self.office.cancel(Place::Job(self.slot.clone())) > 0
    }

    /// Has `then` called with its result. That is on the pool's own thread, so it must not wait: put it into a channel.
    /// A panic in it is logged.
    pub fn on_done(self, then: impl FnOnce(Result<R, TaskError>) + Send + 'static) {
        let then = Then(Box::new(move |outcome| then(decode(outcome))));
        let mut inner = self.slot.lock();
        match inner.take() {
            Some(outcome) => {
                drop(inner);
                then.call(outcome);
            }
            None => inner.then = Some(then),
        }
    }
}

/// Dropping it doesn't cancel the task.
impl<R: DeserializeOwned> Future for Job<R> {
    type Output = Result<R, TaskError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.slot.lock();
        match inner.take() {
            Some(outcome) => Poll::Ready(decode(outcome)),
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn decode<R: DeserializeOwned>(outcome: Outcome) -> Result<R, TaskError> {
    outcome?.decode().map_err(|error| TaskError::BadMessage { why: error.to_string() })
}

impl Then {
    fn call(self, outcome: Outcome) {
        if catch_unwind(AssertUnwindSafe(|| self.0(outcome))).is_err() {
            crate::logs::later!(warn, "what was to be called with a pool's result has panicked");
        }
    }
}

impl Inner {
    /// The outcome, once. Whoever has polled it out by `&mut` and then waits hears so, and doesn't wait for ever.
    fn take(&mut self) -> Option<Outcome> {
        let again = || Err(TaskError::BadMessage { why: "give its result twice".to_owned() });
        self.outcome.take().or_else(|| self.is_done.then(again))
    }
}

impl Slot {
    pub(super) fn put(&self, outcome: Outcome) {
        let mut inner = self.lock();
        inner.is_done = true;
        if let Some(then) = inner.then.take() {
            drop(inner);
            return then.call(outcome);
        }
        inner.outcome = Some(outcome);
        let waker = inner.waker.take();
        // An executor may poll, or drop, what it wakes right here: no lock may be held.
        drop(inner);
        self.came.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    fn wait(&self, end: Option<Instant>) -> Option<Outcome> {
        let mut inner = self.lock();
        loop {
            if let Some(outcome) = inner.take() {
                return Some(outcome);
            }
            inner = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.came.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => self.came.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
