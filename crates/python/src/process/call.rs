//! A question to a process, from Python.

use std::sync::Arc;

use process::{CallError, Handle};
use pyo3::prelude::*;
use shm::wire::Raw;

use super::{
    birthplace::Birthplace,
    failure, message,
    pending::{Outcome, Pending},
};
use crate::{
    codec,
    wait::{self, Limit},
};

/// A question that hasn't been put yet.
#[pyclass(frozen, module = "framewire._core")]
pub struct Call {
    pub handle: Arc<Handle>,
    pub command: Raw,
    pub home: Birthplace,
}

impl Call {
    fn pending(&self) -> Pending {
        let (handle, command) = (self.handle.clone(), self.command.clone());
        Pending::new(async move { outcome(handle.call::<Raw, Raw>(&command).await) })
    }
}

fn outcome(answer: Result<Raw, CallError>) -> Outcome {
    Box::new(move |py| match answer {
        Ok(answer) => read(py, answer),
        Err(error) => Err(failure::call(py, error)),
    })
}

/// An answer as an object, or as the exception that it is.
pub fn read(py: Python<'_>, answer: Raw) -> PyResult<Py<PyAny>> {
    let answer = answer.into_packet();
    match message::as_raised(&answer) {
        Some(pickled) => Err(failure::raised(py, pickled)),
        None => codec::loads(py, answer).map(Bound::unbind),
    }
}

#[pymethods]
impl Call {
    /// Asks and waits for the answer, `timeout` seconds at most.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        self.home.check(py)?;
        // Not as something to come: a thread that waits for just this reads the answer itself, and nobody has to wake it.
        let mut asked = self.handle.call::<Raw, Raw>(&self.command).into_future();
        match wait::wait(py, Limit::seconds(timeout)?, |limit| asked.wait_for(limit))? {
            Some(answer) => outcome(answer)(py),
            None => {
                // A call in flight is cancelled as it goes.
                drop(asked);
                Err(failure::call(py, CallError::TimedOut { name: self.handle.name().to_owned() }))
            }
        }
    }

    /// Asks; the answer is to come.
    fn begin(&self, py: Python<'_>) -> PyResult<Pending> {
        self.home.check(py)?;
        Ok(self.pending())
    }

    /// Asks, and doesn't want to know.
    fn detach(&self, py: Python<'_>) {
        py.detach(|| self.handle.call::<Raw, Raw>(&self.command).detach());
    }
}
