//! An item that is out.

use std::sync::{Mutex, PoisonError};

use pyo3::{
    prelude::*,
    types::{PyTuple, PyType},
};
use shm::queue::Lease as Held;

use crate::{codec::Value, error::Class};

/// An object that this process has, and has not acknowledged. Dropped, or its process dead, the next one gets the object.
#[pyclass(frozen, weakref, module = "framewire")]
pub(crate) struct Lease {
    item: Py<PyAny>,
    deliveries: u32,
    held: Mutex<Option<Held<Value>>>,
}

impl Lease {
    pub(super) fn of(py: Python<'_>, mut held: Held<Value>) -> PyResult<Self> {
        // If it can't be made here, it goes back: another process may have the module that this one lacks.
        let item = held.take().into_object(py)?.unbind();
        Ok(Self { item, deliveries: held.deliveries(), held: Mutex::new(Some(held)) })
    }

    fn end(&self) -> Option<Held<Value>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[pymethods]
impl Lease {
    /// The object.
    #[getter]
    fn item<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.item.bind(py).clone()
    }

    /// How often it was delivered, with this time.
    #[getter]
    fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Acknowledge it: nobody will get it again.
    fn done(&self) -> PyResult<()> {
        match self.end() {
            Some(held) => {
                held.done();
                Ok(())
            }
            None => {
                Err(Class::Error.says("could not acknowledge an item twice, or after it was given back".to_owned()))
            }
        }
    }

    /// Give it back: the next one gets it, before everything that waits.
    fn give_back(&self) -> PyResult<()> {
        let text = "could not give an item back twice, or after it was acknowledged";
        self.end().map(drop).ok_or_else(|| Class::Error.says(text.to_owned()))
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.item(py)
    }

    #[pyo3(signature = (exception, *_more))]
    fn __exit__(&self, exception: Option<Bound<'_, PyType>>, _more: &Bound<'_, PyTuple>) {
        match self.end() {
            // It may have been ended by hand.
            Some(held) if exception.is_none() => drop(held.done()),
            held => drop(held),
        }
    }
}
