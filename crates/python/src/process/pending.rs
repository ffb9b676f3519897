//! Something to come, waited for in any way: by blocking, and by an asyncio loop.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use pyo3::{exceptions::PyRuntimeError, prelude::*};

use super::birthplace::Birthplace;
use crate::{
    later::Bell,
    wait::{self, Limit},
};

/// What came, to be made into an object or an exception by whoever holds the interpreter.
pub type Outcome = crate::later::Ended;

type Awaited = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Something to come. For asyncio it is an operation as `framewire.aio.run` takes them; one can also block on it.
#[pyclass(frozen, module = "framewire._core")]
pub struct Pending {
    awaited: Mutex<Option<Awaited>>,
    home: Birthplace,
}

/// A wait without limit comes up for air so often.
const FAR: Duration = Duration::from_secs(3600);

/// How a blocked thread is woken.
#[derive(Default)]
struct Alarm {
    is_woken: Mutex<bool>,
    came: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks can leave them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *lock(&self.is_woken) = true;
        self.came.notify_one();
    }
}

impl Alarm {
    fn sleep(&self, limit: Duration) {
        let is_woken = lock(&self.is_woken);
        let slept = self.came.wait_timeout_while(is_woken, limit, |is_woken| !*is_woken);
        *slept.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

impl Pending {
    pub fn new(awaited: impl Future<Output = Outcome> + Send + 'static) -> Self {
        Self { awaited: Mutex::new(Some(Box::pin(awaited))), home: Birthplace::here() }
    }

    /// Looks whether it has come.
    pub fn look(&self, waker: &Waker) -> Option<PyResult<Outcome>> {
        let mut awaited = lock(&self.awaited);
        let Some(future) = awaited.as_mut() else {
            return Some(Err(PyRuntimeError::new_err("this was waited for, or given up, before")));
        };
        let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(waker)) else { return None };
        *awaited = None;
        Some(Ok(outcome))
    }

    /// As `wait`, in Rust; `None` when the time is over.
    pub(crate) fn wait_until(&self, py: Python<'_>, limit: Limit) -> PyResult<Option<Py<PyAny>>> {
        self.home.check(py)?;
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(alarm.clone());
        let came = wait::wait(py, limit, |limit| {
            let end = limit.and_then(|limit| Instant::now().checked_add(limit));
            loop {
                if let Some(came) = self.look(&waker) {
                    return Some(came);
                }
                let left = end.map_or(FAR, |end| end.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    return None;
                }
                alarm.sleep(left.min(FAR));
            }
        })?;
        came.map(|outcome| outcome?(py)).transpose()
    }
}

#[pymethods]
impl Pending {
    /// Waits for it; `None` when `timeout` seconds are over. It can be waited for again then.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        self.wait_until(py, Limit::seconds(timeout)?)
    }

    /// Goes on with it: `(result,)` when it has come; `None` if `key` will be among what `bell` names.
    fn poll(&self, py: Python<'_>, bell: &Bell, key: u64) -> PyResult<Option<(Py<PyAny>,)>> {
        self.home.check(py)?;
        match self.look(&bell.waker(key)) {
            Some(outcome) => outcome?(py).map(|result| Some((result,))),
            None => Ok(None),
        }
    }

    /// Gives it up: a call is cancelled.
    fn cancel(&self) {
        let awaited = lock(&self.awaited).take();
        drop_at(self.home, awaited); // not under the lock: it may wake somebody
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        drop_at(self.home, lock(&self.awaited).take());
    }
}

/// A forked child has a copy of what its parent awaits: to cancel it would cancel the parent's.
fn drop_at(home: Birthplace, awaited: Option<Awaited>) {
    if home.is_here() { drop(awaited) } else { std::mem::forget(awaited) }
}
