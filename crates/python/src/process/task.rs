//! An `async def` command in Python's own loop, as a future of the child's.

use std::{
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use process::Failure;
use pyo3::prelude::*;
use shm::wire::{EncodeError, Packet};

use super::{answer, child::host};

/// A coroutine on its way to an answer. Dropped, it is cancelled.
pub struct Task {
    coroutine: Option<Py<PyAny>>,
    /// What cancels it, once it has begun.
    running: Option<Py<PyAny>>,
    outcome: Outcome,
}

/// What a coroutine came to; asyncio tells it.
#[pyclass(frozen, module = "framewire._core")]
#[derive(Clone)]
pub struct Outcome {
    inner: Arc<Mutex<Inner>>,
    /// Whether its caller is Python.
    pickles: bool,
}

#[derive(Default)]
struct Inner {
    written: Option<Result<Packet, Failure>>,
    waker: Option<Waker>,
}

impl Task {
    pub fn new(coroutine: Py<PyAny>, pickles: bool) -> Self {
        Self { coroutine: Some(coroutine), running: None, outcome: Outcome { inner: Arc::default(), pickles } }
    }
}

impl Future for Task {
    type Output = Result<Packet, EncodeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcome.lock().waker = Some(cx.waker().clone());
        if let Some(coroutine) = self.coroutine.take() {
            let outcome = self.outcome.clone();
            Python::attach(|py| {
                match host(py).and_then(|host| host.call_method1("begin", (coroutine, outcome.clone()))) {
                    Ok(running) => self.running = Some(running.unbind()),
                    Err(error) => outcome.put(answer::failed(py, &error, outcome.pickles)),
                }
            });
        }
        let written = self.outcome.lock().written.take();
        match written {
            None => Poll::Pending,
            Some(Ok(answer)) => {
                self.running = None;
                Poll::Ready(Ok(answer))
            }
            // How Rust says that a handler failed.
            Some(Err(failure)) => resume_unwind(Box::new(failure)),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let (coroutine, running) = (self.coroutine.take(), self.running.take());
        if coroutine.is_none() && running.is_none() {
            return;
        }
        Python::attach(|py| {
            let closed = match (&running, &coroutine) {
                (Some(running), _) => running.call_method0(py, "cancel"),
                // It never began, and isn't to warn of that.
                (None, Some(coroutine)) => coroutine.call_method0(py, "close"),
                (None, None) => return,
            };
            if let Err(error) = closed {
                error.write_unraisable(py, None);
            }
        });
    }
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, written: Result<Packet, Failure>) {
        let mut inner = self.lock();
        inner.written = Some(written);
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }
}

#[pymethods]
impl Outcome {
    /// It returned this.
    fn done(&self, py: Python<'_>, value: &Bound<'_, PyAny>) {
        let written = answer::write(value, self.pickles);
        self.put(written.or_else(|error| answer::failed(py, &error, self.pickles)));
    }

    /// It raised this.
    fn failed(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.put(answer::failed(py, &PyErr::from_value(error), self.pickles));
    }
}
