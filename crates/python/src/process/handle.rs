//! A process, seen from the Python that spawned it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use process::{CallError, Handle as Process};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyTuple},
};
use shm::wire::Raw;

use super::{
    birthplace::Birthplace,
    call::{self, Call},
    exit::{Described, describe},
    failure, message,
    options::seconds,
    pending::{Outcome, Pending},
    sentinel::ring_at_end,
};
use crate::{
    codec::{self, Codec},
    later::Bell,
    wait::{self, Limit},
};

/// How long a thread parks at most: it is unparked when there is something.
const FAR: Duration = Duration::from_secs(3600);

/// A process under supervision, over all its incarnations.
#[pyclass(frozen, module = "framewire._core")]
pub struct Handle {
    process: Arc<Process>,
    /// Whether it speaks pickle.
    is_python: bool,
    home: Birthplace,
}

impl Handle {
    pub fn new(process: Process, is_python: bool, home: Birthplace) -> Self {
        Self { process: Arc::new(process), is_python, home }
    }

    fn process(&self, py: Python<'_>) -> PyResult<&Arc<Process>> {
        self.home.check(py)?;
        Ok(&self.process)
    }

    /// Its end, to come.
    fn end(&self) -> Pending {
        let ended = self.process.ended();
        Pending::new(async move {
            let exit = describe(&ended.await);
            let outcome: Outcome = Box::new(move |py| Ok(exit.into_pyobject(py)?.into_any().unbind()));
            outcome
        })
    }
}

#[pymethods]
impl Handle {
    /// Puts a call together; its arguments are encoded now.
    #[pyo3(signature = (name, arguments, keywords))]
    fn call(
        &self,
        py: Python<'_>,
        name: &str,
        arguments: &Bound<'_, PyTuple>,
        keywords: &Bound<'_, PyDict>,
    ) -> PyResult<Call> {
        let handle = self.process(py)?.clone();
        let encoded = if self.is_python {
            codec::dumps((arguments, keywords).into_pyobject(py)?.as_any(), Codec::Pickle)?
        } else if arguments.is_empty() {
            codec::dumps(keywords.as_any(), Codec::MessagePack)?
        } else {
            return Err(PyTypeError::new_err(format!(
                "could not call {name}: a program in another language takes arguments by name, as in {name}(threshold=0.5)"
            )));
        };
        Ok(Call { handle, command: Raw::new(message::named(name, encoded)), home: self.home })
    }

    /// The next event, to come; `None` when there will never be another one.
    fn next_event(&self, py: Python<'_>) -> PyResult<Pending> {
        let events = self.process(py)?.events::<Raw>();
        Ok(Pending::new(async move {
            let next: Result<Option<Raw>, CallError> = events.next().await;
            let outcome: Outcome = Box::new(move |py| match next {
                Ok(Some(event)) => Ok((call::read(py, event)?,).into_pyobject(py)?.into_any().unbind()),
                Ok(None) => Ok(py.None()),
                Err(error) => Err(failure::call(py, error)),
            });
            outcome
        }))
    }

    /// How many events were dropped because nobody read them.
    fn dropped_events(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.process(py)?.events::<Raw>().dropped())
    }

    /// Its end for good, to come.
    fn ended(&self, py: Python<'_>) -> PyResult<Pending> {
        self.process(py)?;
        Ok(self.end())
    }

    /// Has the bell rung at its end for good.
    fn sentinel(&self, py: Python<'_>, bell: &Bell) -> PyResult<()> {
        ring_at_end(self.process(py)?.ended(), bell.waker(0));
        Ok(())
    }

    /// Stops it for good; it is gone when this returns.
    fn stop(&self, py: Python<'_>, grace: f64) -> PyResult<()> {
        let process = self.process(py)?.clone();
        let grace = seconds("grace", grace)?;
        let is_done = Arc::new(AtomicBool::new(false));
        let (done, waiting) = (is_done.clone(), thread::current());
        // A thread of its own, so that the wait can be interrupted; the process is stopped all the same.
        let stopping = thread::Builder::new().name("stop".to_owned()).stack_size(128 * 1024).spawn(move || {
            process.stop(grace);
            // SYNC POINT D, with the load below: whoever sees it done sees the process gone.
            done.store(true, Ordering::Release);
            waiting.unpark();
        })?;
        let stopped = wait::wait(py, Limit::Never, |limit| {
            // SYNC POINT D, with the store above.
            if !is_done.load(Ordering::Acquire) {
                thread::park_timeout(limit.unwrap_or(FAR));
            }
            is_done.load(Ordering::Acquire).then_some(()) // SYNC POINT D
        });
        stopped.map(|_| drop(stopping))
    }

    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.process(py).map(|process| process.terminate())
    }

    fn kill(&self, py: Python<'_>) -> PyResult<()> {
        self.process(py).map(|process| process.kill())
    }

    fn interrupt(&self, py: Python<'_>) -> PyResult<()> {
        self.process(py).map(|process| process.interrupt())
    }

    fn detach(&self, py: Python<'_>) -> PyResult<()> {
        self.process(py).map(|process| process.detach())
    }

    #[getter]
    fn name(&self) -> &str {
        self.process.name()
    }

    #[getter]
    fn pid(&self, py: Python<'_>) -> PyResult<Option<i32>> {
        Ok(self.process(py)?.process_id())
    }

    #[getter]
    fn state(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.process(py)?.state().as_str())
    }

    #[getter]
    fn restarts(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.process(py)?.restarts())
    }

    /// How it ended for good.
    #[getter]
    fn exit(&self, py: Python<'_>) -> PyResult<Option<Described>> {
        Ok(self.process(py)?.exit().as_ref().map(describe))
    }

    /// How its latest incarnation ended, and what it wrote last.
    #[getter]
    fn last_exit(&self, py: Python<'_>) -> PyResult<Option<(Described, Vec<String>)>> {
        Ok(self.process(py)?.last_exit().map(|(exit, lines)| (describe(&exit), lines)))
    }
}
