//! `Barrier`.

use std::sync::{Mutex, PoisonError};

use pyo3::{exceptions::PyValueError, prelude::*, types::PyType};
use shm::lock::{Barrier as Shared, BarrierError};

use super::{lock::duration, room};
use crate::{
    codec::passing,
    error,
    wait::{self, Limit},
};

/// A point that none of `parties` passes before all have come to it; the last one runs `action` first.
///
/// A party that dies waiting there breaks it for the others (`threading.BrokenBarrierError`); so does a limit that passes.
#[pyclass(frozen, subclass, dict, weakref, module = "framewire")]
pub(crate) struct Barrier {
    shared: Shared,
    action: Option<Py<PyAny>>,
    timeout: Option<f64>,
}

#[pymethods]
impl Barrier {
    #[new]
    #[pyo3(signature = (parties, action = None, timeout = None))]
    fn new(parties: i64, action: Option<Py<PyAny>>, timeout: Option<f64>) -> PyResult<Self> {
        let parties =
            u32::try_from(parties).ok().filter(|parties| (1..=1 << 16).contains(parties)).ok_or_else(|| {
                PyValueError::new_err(format!(
                    "could not make a barrier for {parties} parties: 1 to 65536 are possible"
                ))
            })?;
        let shared = room::make(parties as usize * 8 + 8192, |arena| Shared::create(arena, parties))?;
        Ok(Self { shared, action, timeout })
    }

    /// Wait for the others for at most `timeout` seconds (or the barrier's own). As which one this came: 0 to `parties - 1`.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<usize> {
        let limit = Limit::seconds(timeout.or(self.timeout))?;
        let mut listen = wait::listener(py)?;
        let raised = Mutex::new(None);
        let keep = |outcome: PyResult<()>| match outcome {
            Ok(()) => true,
            Err(error) => {
                *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                false
            }
        };
        let last = || match &self.action {
            Some(action) => keep(Python::attach(|py| action.call0(py).map(drop))),
            None => true,
        };
        let waited = py.detach(|| self.shared.wait_while(duration(limit), || keep(listen()), last));
        if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        waited.map_err(|error| match error {
            BarrierError::Forked(forked) => error::forked(forked),
            error => error::standard("threading", "BrokenBarrierError", format!("could not {error}")),
        })
    }

    /// Begin anew. Who waits is told that it broke.
    fn reset(&self) -> PyResult<()> {
        self.shared.reset().map_err(error::forked)
    }

    /// Break it: who waits is told, and who comes.
    fn abort(&self) -> PyResult<()> {
        self.shared.abort().map_err(error::forked)
    }

    /// How many it is for.
    #[getter]
    fn parties(&self) -> usize {
        self.shared.parties()
    }

    /// How many wait at this moment.
    #[getter]
    fn n_waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// Whether it is broken.
    #[getter]
    fn broken(&self) -> bool {
        self.shared.is_broken()
    }

    #[expect(clippy::type_complexity, reason = "it is what pickle wants")]
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (usize, Option<Py<PyAny>>, Option<f64>))> {
        passing::refuse_subclass::<Self>(slf.as_any())?;
        let number = passing::leave("Barrier", &slf.get().shared)?;
        let action = slf.get().action.as_ref().map(|action| action.clone_ref(slf.py()));
        Ok((slf.get_type().getattr("_received")?, (number, action, slf.get().timeout)))
    }

    #[classmethod]
    fn _received(
        _class: &Bound<'_, PyType>,
        number: usize,
        action: Option<Py<PyAny>>,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        Ok(Self { shared: passing::arrive("Barrier", number)?, action, timeout })
    }
}
