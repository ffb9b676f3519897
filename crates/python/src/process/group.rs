//! Tasks that were given to a pool together, and their outcomes as they come.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

use process::pool::TaskError;
use pyo3::{exceptions::PyException, prelude::*, types::PyList};
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
    arrived: VecDeque<(u64, Arrived)>,
    /// Of each thread that waits.
    wanted: Vec<Wanted>,
    /// How many were given, how many of these have an outcome, and how many outcomes were taken.
    given: u64,
    done: u64,
    taken: u64,
    wakers: Vec<(Awaited, Waker)>,
}

/// What somebody is woken for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    All,
    /// The one of that number, or any; or that all are done.
    Next(Option<u64>),
}

/// What is worth waking a thread for, besides that all are done.
#[derive(Clone, Copy, PartialEq, Eq)]
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
        state.arrived.push_back((number, outcome));
        state.done += 1;
        let count = state.arrived.len();
        let is_wanted = state.done == state.given
            || state.wanted.iter().any(|wanted| wanted.number == Some(number) || count >= wanted.count);
        let all = state.done == state.given;
        let is_awaited = |(awaited, _): &mut (Awaited, Waker)| match awaited {
            Awaited::All => all,
            Awaited::Next(wanted) => all || wanted.is_none_or(|wanted| wanted == number),
        };
        let woken: Vec<_> = state.wakers.extract_if(.., is_awaited).collect();
        drop(state);
        if is_wanted {
            self.0.came.notify_all();
        }
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Wakes somebody now, if what is awaited is there, or when it is.
    fn awake(&self, awaited: Awaited, waker: Waker) {
        let mut state = self.lock();
        let is_there = match awaited {
            _ if state.done == state.given => true,
            Awaited::All => false,
            Awaited::Next(None) => !state.arrived.is_empty(),
            Awaited::Next(wanted) => state.arrived.iter().any(|(number, _)| wanted == Some(*number)),
        };
        if is_there {
            drop(state);
            waker.wake();
        } else {
            state.wakers.push((awaited, waker));
        }
    }

    /// Waits for a slice; `None` when it is over.
    fn rest(&self, wanted: Wanted, limit: Option<Duration>) -> Option<()> {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut state = self.lock();
        loop {
            let is_there = state.arrived.iter().any(|(number, _)| wanted.number == Some(*number));
            if is_there || state.arrived.len() >= wanted.count || state.done == state.given {
                return Some(());
            }
            let left = end.map_or(Duration::from_secs(3600), |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return None;
            }
            state.wanted.push(wanted);
            state = self.0.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            // Equal ones are as good as each other.
            let own = state.wanted.iter().position(|other| *other == wanted);
            own.into_iter().for_each(|own| _ = state.wanted.swap_remove(own));
        }
    }
}

#[pymethods]
impl Group {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Puts the outcomes that are there into a list, each as it is read, so that an interruption loses none: number, whether it
    /// is an answer, and that or the exception. Waits until the one of that number is there, or so many, or all, but not
    /// longer than `timeout` seconds.
    #[pyo3(signature = (into, number, count, timeout))]
    fn take(
        &self,
        py: Python<'_>,
        into: &Bound<'_, PyList>,
        number: Option<u64>,
        count: usize,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let wanted = Wanted { number, count: count.max(1) };
        if wait::wait(py, Limit::seconds(timeout)?, |limit| self.rest(wanted, limit))?.is_none() {
            return Ok(());
        }
        // Those that come meanwhile are for the next time.
        let there = self.lock().arrived.len();
        for _ in 0..there {
            let Some((number, outcome)) = self.lock().arrived.pop_front() else { break };
            let (outcome, interruption) = read(py, outcome);
            let is_answer = outcome.is_ok();
            let outcome = outcome.unwrap_or_else(|error| error.into_value(py).into_any());
            into.append((number, is_answer, outcome))?;
            self.lock().taken += 1;
            interruption.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// How many were given.
    fn given(&self) -> u64 {
        self.lock().given
    }

    /// How many outcomes are to be taken, now or when they come.
    fn left(&self) -> u64 {
        let state = self.lock();
        state.given - state.taken
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
                    return None;
                }
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
        self.awake(Awaited::All, bell.waker(key));
    }

    /// Has `bell` name `key` when the outcome of that number is there, or any if it is none; or when all are done.
    #[pyo3(signature = (bell, key, number))]
    fn notify_next(&self, bell: &Bell, key: u64, number: Option<u64>) {
        self.awake(Awaited::Next(number), bell.waker(key));
    }
}

/// What it is, and what has interrupted the reading.
fn read(py: Python<'_>, outcome: Arrived) -> (PyResult<Py<PyAny>>, Option<PyErr>) {
    match outcome {
        Arrived::Came(Ok(answer)) => {
            let read = call::read(py, answer);
            let interruption = read.as_ref().err().filter(|error| is_interruption(py, error));
            let interruption = interruption.map(|error| error.clone_ref(py));
            (read, interruption)
        }
        Arrived::Came(Err(error)) => (Err(failure::task(py, error)), None),
        Arrived::Refused(error) => (Err(error), None),
    }
}

/// Whether it is for the thread that it was raised in, as Ctrl-C's is, and not about what that was doing.
pub fn is_interruption(py: Python<'_>, error: &PyErr) -> bool {
    !error.is_instance_of::<PyException>(py)
}
