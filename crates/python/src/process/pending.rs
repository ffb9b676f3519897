//! Something to come, waited for in any way: by blocking, and by an asyncio loop.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};

use super::notifier::Notifier;
use crate::wait::Limit;

/// What came, to be made into an object or an exception by whoever holds the interpreter.
pub type Outcome = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

type Awaited = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Something to come.
#[pyclass(frozen, module = "framewire._core")]
pub struct Pending {
    state: Mutex<State>,
    alarm: Arc<Alarm>,
}

enum State {
    Awaited(Awaited),
    Came(Outcome),
    /// Taken, or nobody wants it any more.
    Over,
}

/// How whoever waits is woken.
#[derive(Default)]
struct Alarm {
    inner: Mutex<Woken>,
    came: Condvar,
}

#[derive(Default)]
struct Woken {
    woken: bool,
    notify: Option<(Notifier, u64)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks can leave them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let mut inner = lock(&self.inner);
        inner.woken = true;
        let notify = inner.notify.clone();
        drop(inner);
        self.came.notify_all();
        if let Some((notifier, token)) = notify {
            notifier.put(token);
        }
    }
}

impl Pending {
    pub fn new(awaited: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { state: Mutex::new(State::Awaited(Box::pin(awaited))), alarm: Arc::default() }
    }

    /// Looks whether it has come.
    fn look(&self) -> bool {
        let waker = Waker::from(self.alarm.clone());
        let mut state = lock(&self.state);
        if let State::Awaited(awaited) = &mut *state
            && let Poll::Ready(outcome) = awaited.as_mut().poll(&mut Context::from_waker(&waker))
        {
            *state = State::Came(outcome);
        }
        !matches!(*state, State::Awaited(_))
    }

    fn take(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = std::mem::replace(&mut *lock(&self.state), State::Over);
        match state {
            State::Came(outcome) => outcome(py),
            State::Awaited(_) | State::Over => Err(PyRuntimeError::new_err("this was waited for, or given up, before")),
        }
    }

    /// Waits until `limit` is over; whether it has come.
    fn rest(&self, limit: Option<Duration>) -> bool {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            lock(&self.alarm.inner).woken = false;
            if self.look() {
                return true;
            }
            let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return false;
            }
            let inner = lock(&self.alarm.inner);
            let waited = self.alarm.came.wait_timeout_while(inner, left.min(FAR), |inner| !inner.woken);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// As `wait`, in Rust; `None` when the time is over.
    pub(crate) fn wait_until(&self, py: Python<'_>, limit: Limit) -> PyResult<Option<Py<PyAny>>> {
        let came = crate::wait::wait(py, limit, |limit| self.rest(limit).then_some(()))?;
        came.map(|()| self.take(py)).transpose()
    }

    /// Nobody wants it any more.
    pub fn give_up(&self) {
        let state = std::mem::replace(&mut *lock(&self.state), State::Over);
        drop(state); // may call wakers: not under the lock
    }
}

/// A wait without limit comes up for air so often.
const FAR: Duration = Duration::from_secs(3600);

#[pymethods]
impl Pending {
    /// Waits for it; `None` when `timeout` seconds are over. It can be waited for again then.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.wait_until(py, Limit::seconds(timeout)?)
    }

    /// Looks whether it has come; if not, `notifier` is told `token` when it is worth another look.
    fn poll(&self, notifier: &Notifier, token: u64) -> bool {
        lock(&self.alarm.inner).notify = Some((notifier.clone(), token));
        self.look()
    }

    /// Gives what came, once.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.take(py)
    }

    /// Gives it up: a call is cancelled.
    fn cancel(&self) {
        self.give_up();
    }
}
