//! A pool of Python workers.

use std::{
    ffi::OsString,
    sync::{Arc, mpsc},
    thread,
};

use process::{
    Handle, Pool as Workshop,
    pool::{PoolError, Workers},
};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyBytes, PyList},
};
use shm::wire::Raw;

use super::{
    birthplace::Birthplace,
    child::PythonProcess,
    failure,
    group::{self, Arrived, Group},
    message,
    options::seconds,
    system::{self, System},
};
use crate::{
    codec::{self, Codec},
    wait::{self, Limit},
};

/// Workers that share tasks.
#[pyclass(frozen, module = "framewire._core")]
pub struct Pool {
    /// Empty once it is dropped.
    workshop: Option<Arc<Workshop<PythonProcess>>>,
    home: Birthplace,
}

/// How many there are, and how they are treated; `framewire.Pool` says what each is.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Staff {
    count: usize,
    name: Option<String>,
    max_tasks: Option<u64>,
    max_memory: Option<u64>,
    redeliver: Option<u32>,
    ready_within: f64,
    env: Vec<(String, String)>,
}

#[pymethods]
impl Pool {
    /// Starts the workers and returns when all are ready.
    #[new]
    fn new(
        py: Python<'_>,
        system: &System,
        command: Vec<OsString>,
        zygote: Option<Vec<OsString>>,
        preparation: &Bound<'_, PyBytes>,
        configuration: &Bound<'_, PyAny>,
        staff: Staff,
    ) -> PyResult<Self> {
        let supervisor = system.supervisor(py)?.clone();
        let configuration =
            Raw::new(message::prepared(preparation.as_bytes(), codec::dumps(configuration, Codec::Pickle)?));
        let executable = system::executable(py, &supervisor, command, zygote, staff.ready_within)?;
        let ready_within = seconds("ready_within", staff.ready_within)?;
        let mut workers = Workers::new(staff.count).executable(executable).ready_within(ready_within);
        workers = staff.name.into_iter().fold(workers, Workers::name);
        workers = staff.max_tasks.into_iter().fold(workers, Workers::max_tasks_per_child);
        workers = staff.max_memory.into_iter().fold(workers, Workers::max_memory_per_child);
        workers = staff.redeliver.into_iter().fold(workers, Workers::redeliver);
        workers = staff.env.into_iter().fold(workers, |workers, (name, value)| workers.env(name, value));
        // On a thread of its own, so that the wait can be interrupted: the pool is dropped then as soon as it is there.
        let (started, has_started) = mpsc::channel();
        thread::Builder::new().name("pool start".to_owned()).spawn(move || {
            let _ = started.send(supervisor.pool::<PythonProcess>(workers, move |_| configuration.clone()));
        })?;
        let ended = "could not start a pool: its thread has ended";
        let pool = wait::wait(py, Limit::Never, move |limit| match limit {
            Some(limit) => match has_started.recv_timeout(limit) {
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                came => Some(came.ok()),
            },
            None => Some(has_started.recv().ok()),
        })?;
        match pool.flatten() {
            Some(Ok(workshop)) => Ok(Self { workshop: Some(Arc::new(workshop)), home: Birthplace::here() }),
            Some(Err(error)) => Err(failure::start(py, &error)),
            None => Err(PyRuntimeError::new_err(ended)),
        }
    }

    /// Gives one task for each item, numbered from `first`; `function` is pickled. Outcomes come to `group`, which knows how
    /// many were given if this fails.
    fn submit(
        &self,
        py: Python<'_>,
        group: &Group,
        first: u64,
        function: &Bound<'_, PyBytes>,
        items: &Bound<'_, PyList>,
    ) -> PyResult<()> {
        let workshop = self.workshop(py)?;
        let function = function.as_bytes();
        group.give(items.len());
        for (index, item) in items.iter().enumerate() {
            let number = first + index as u64;
            let argument = match codec::dumps(&item, Codec::Pickle) {
                Ok(argument) => argument,
                Err(error) if group::is_interruption(py, &error) => {
                    group.take_back(items.len() - index);
                    return Err(error);
                }
                Err(error) => {
                    group.put(number, Arrived::Refused(error));
                    continue;
                }
            };
            let task = Raw::new(message::task(function, argument));
            match workshop.apply_async(|worker| Handle::from(worker.clone()).call::<Raw, Raw>(&task)) {
                Ok(job) => {
                    let group = group.clone();
                    job.on_done(move |outcome| group.put(number, Arrived::Came(outcome)));
                }
                Err(error) => {
                    group.take_back(items.len() - index);
                    return Err(failure::pool(py, &error));
                }
            }
        }
        Ok(())
    }

    /// Takes no more tasks; what was taken is done.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.workshop(py).map(|workshop| workshop.close())
    }

    /// Ends everything now.
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.workshop(py).map(|workshop| workshop.terminate())
    }

    /// Waits until the workers are gone; whether they are.
    #[pyo3(signature = (timeout = None))]
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let workshop = self.workshop(py)?;
        let joined = wait::wait(py, Limit::seconds(timeout)?, |limit| match limit {
            Some(limit) => match workshop.join_for(limit) {
                Ok(false) => None,
                over => Some(over.map(drop)),
            },
            None => Some(workshop.join()),
        })?;
        match joined {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            // Said once, to whoever uses it; the workers are gone.
            Some(Err(PoolError::Failed { .. })) => Ok(true),
            Some(Err(error)) => Err(failure::pool(py, &error)),
        }
    }

    /// Names and process identifiers of the workers that take tasks now.
    fn workers(&self, py: Python<'_>) -> PyResult<Vec<(String, Option<i32>)>> {
        let workers = self.workshop(py)?.workers();
        Ok(workers.into_iter().map(|worker| (worker.name, worker.pid)).collect())
    }
}

impl Pool {
    fn workshop(&self, py: Python<'_>) -> PyResult<&Arc<Workshop<PythonProcess>>> {
        self.home.check(py)?;
        self.workshop.as_ref().ok_or_else(|| failure::pool(py, &PoolError::Terminated))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let Some(workshop) = self.workshop.take() else { return };
        if !self.home.is_here() {
            // A forked child's copy: there is no thread behind it that one could wait for.
            std::mem::forget(workshop);
            return;
        }
        workshop.terminate();
        // It waits until the workers are gone; whoever drops this may hold the interpreter's lock.
        let _ = thread::Builder::new().name("pool end".to_owned()).spawn(move || drop(workshop));
    }
}
