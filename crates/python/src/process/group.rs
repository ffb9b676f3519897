//! Tasks that were given to a pool together, and their outcomes as they come.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use process::pool::TaskError;
use pyo3::prelude::*;
use shm::wire::Raw;

use super::{call, failure};
use crate::{
    later::Bell,
    wait::{self, Limit},
};

/// Some tasks' outcomes.
#[pyclass(frozen, module = "framewire._core")]
#[derive(Clone, Default)]
pub struct Group(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    arrived: Vec<(u64, Arrived)>,
    wanted: Option<Wanted>,
    /// How many were given, and how many of these have an outcome, taken or not.
    given: u64,
    done: u64,
    waker: Option<Waker>,
}

/// What is worth waking whoever waits for.
#[derive(Clone, Copy)]
struct Wanted {
    number: Option<u64>,
    count: usize,
}

/// An outcome.
pub enum Arrived {
    Came(Result<Raw, TaskError>),
    /// It never went to the pool: it couldn't be pickled.
    Refused(PyErr),
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under this lock can leave it half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn give(&self, count: usize) {
        self.lock().given += count as u64;
    }

    /// So many weren't given after all.
    pub fn take_back(&self, count: usize) {
        self.lock().given -= count as u64;
    }

    pub fn put(&self, number: u64, outcome: Arrived) {
        let mut state = self.lock();
        state.arrived.push((number, outcome));
        state.done += 1;
        let count = state.arrived.len();
        let is_wanted = state.wanted.is_some_and(|wanted| wanted.number == Some(number) || count >= wanted.count);
        let waker = if state.done == state.given { state.waker.take() } else { None };
        drop(state);
        if is_wanted {
            self.0.came.notify_all();
        }
        waker.into_iter().for_each(Waker::wake);
    }

    /// Waits for a slice; `None` when it is over.
    fn rest(&self, wanted: Wanted, limit: Option<Duration>) -> Option<Vec<(u64, Arrived)>> {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock();
        loop {
            let is_there = state.arrived.iter().any(|(number, _)| wanted.number == Some(*number));
            if is_there || state.arrived.len() >= wanted.count || state.done == state.given {
                state.wanted = None;
                return Some(std::mem::take(&mut state.arrived));
            }
            let left = end.map_or(Duration::from_secs(3600), |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                state.wanted = None;
                return None;
            }
            state.wanted = Some(wanted);
            state = self.0.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[pymethods]
impl Group {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Takes the outcomes that are there: number, whether it is an answer, and that or the exception. Waits until the
    /// one of that number is, or so many, or all; an empty list when `timeout` seconds are over.
    #[pyo3(signature = (number, count, timeout))]
    fn take(
        &self,
        py: Python<'_>,
        number: Option<u64>,
        count: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<(u64, bool, Py<PyAny>)>> {
        let wanted = Wanted { number, count: count.max(1) };
        let arrived = wait::wait(py, Limit::seconds(timeout)?, |limit| self.rest(wanted, limit))?;
        Ok(arrived.unwrap_or_default().into_iter().map(|(number, outcome)| read(py, number, outcome)).collect())
    }

    /// Waits until all have an outcome; whether that is so.
    #[pyo3(signature = (timeout))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let all = |limit: Option<Duration>| {
            let end = limit.and_then(|limit| Instant::now().checked_add(limit));
            let mut state = self.lock();
            while state.done < state.given {
                let left = end.map_or(Duration::from_secs(3600), |end| end.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    state.wanted = None;
                    return None;
                }
                let missing = usize::try_from(state.given - state.done).unwrap_or(usize::MAX);
                state.wanted = Some(Wanted { number: None, count: state.arrived.len().saturating_add(missing) });
                state = self.0.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            Some(())
        };
        Ok(wait::wait(py, Limit::seconds(timeout)?, all)?.is_some())
    }

    /// Whether all have an outcome.
    fn is_done(&self) -> bool {
        let state = self.lock();
        state.done == state.given
    }

    /// Has `bell` name `key` when all have an outcome.
    fn notify(&self, bell: &Bell, key: u64) {
        let waker = bell.waker(key);
        let mut state = self.lock();
        if state.done == state.given {
            drop(state);
            waker.wake();
        } else {
            state.waker = Some(waker);
        }
    }
}

fn read(py: Python<'_>, number: u64, outcome: Arrived) -> (u64, bool, Py<PyAny>) {
    let read = match outcome {
        Arrived::Came(Ok(answer)) => call::read(py, answer),
        Arrived::Came(Err(error)) => Err(failure::task(py, error)),
        Arrived::Refused(error) => Err(error),
    };
    match read {
        Ok(answer) => (number, true, answer),
        Err(error) => (number, false, error.into_value(py).into_any()),
    }
}
