//! The map that `Namespace` and `Dict` are made of: objects by name, pickled, in shared memory.
//!
//! Objects are pickled before the map is had and made again after it was let go of, so nothing of Python's runs meanwhile.

mod error;
mod key;

use pyo3::{
    exceptions::PyKeyError,
    prelude::*,
    sync::PyOnceLock,
    types::{PyBool, PyBytes, PyTuple, PyType},
};
use shm::map::{Map as Shared, MapError, MapGuard, MapOptions};

use self::error::map_error;
use crate::{
    codec::passing,
    error::Class,
    later::{self, Ended},
    sync::room,
    wait::{self, Limit},
};

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Map>()
}

/// What is longer is copied without the GIL: to give that up and have it again costs as much as to copy so many bytes.
const LARGE_BYTES: usize = 64 * 1024;

/// Objects by name, between processes. Each method is one step to all others.
#[pyclass(frozen, weakref, module = "framewire._core")]
pub(crate) struct Map(Shared);

impl Map {
    /// Has the map, and does something with it.
    fn with<T>(&self, py: Python<'_>, act: impl FnOnce(MapGuard<'_>) -> Result<T, MapError>) -> PyResult<T> {
        act(self.lock(py)?).map_err(|error| map_error(&error))
    }

    fn lock(&self, py: Python<'_>) -> PyResult<MapGuard<'_>> {
        let locked = match self.0.try_lock() {
            Err(MapError::Busy) => wait::wait(py, Limit::Never, |limit| {
                let Some(limit) = limit else { return Some(self.0.lock()) };
                Some(self.0.lock_for(limit)).filter(|locked| !matches!(locked, Err(MapError::TimedOut)))
            })?
            .unwrap_or(Err(MapError::TimedOut)),
            locked => locked,
        };
        locked.map_err(|error| map_error(&error))
    }

    /// The pickle of a key's value.
    fn look(&self, py: Python<'_>, key: &[u8]) -> PyResult<Option<(Vec<u8>, u64)>> {
        self.with(py, |guard| match guard.value_bytes(key)? {
            None => Ok(None),
            Some(length) if length > LARGE_BYTES => py.detach(move || guard.get_versioned(key)),
            Some(_) => guard.get_versioned(key),
        })
    }

    fn store(&self, py: Python<'_>, key: &[u8], pickle: &[u8]) -> PyResult<()> {
        self.with(py, |mut guard| {
            if pickle.len() > LARGE_BYTES { py.detach(move || guard.set(key, pickle)) } else { guard.set(key, pickle) }
        })
    }
}

#[pymethods]
impl Map {
    #[new]
    fn new(limit_bytes: usize) -> PyResult<Self> {
        let create = |arena: &_| match Shared::create(arena, MapOptions { limit_bytes }) {
            Err(MapError::Arena(error)) => Err(error),
            Err(MapError::Forked(forked)) => Err(forked.into()),
            created => Ok(created),
        };
        room::make(Shared::ARENA_BYTES, create)?.map(Self).map_err(|error| map_error(&error))
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.look(key.py(), &key::encode(key)?)? {
            Some((pickle, _)) => unpickle(key.py(), &pickle),
            None => Err(missing(key)),
        }
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let (key, pickle) = (key::encode(key)?, pickle(value)?);
        self.store(value.py(), &key, pickle.as_bytes())
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        let encoded = key::encode(key)?;
        let version = self.with(key.py(), |mut guard| {
            let version = guard.version_of(&encoded)?;
            if version.is_some() {
                guard.remove(&encoded)?;
            }
            Ok(version)
        })?;
        version.map(drop).ok_or_else(|| missing(key))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let encoded = key::encode(key)?;
        self.with(key.py(), |guard| guard.contains_key(encoded))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |guard| guard.len())
    }

    /// The value of a key, and the map's version when it was set.
    fn versioned<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, u64)> {
        match self.look(key.py(), &key::encode(key)?)? {
            Some((pickle, version)) => Ok((unpickle(key.py(), &pickle)?, version)),
            None => Err(missing(key)),
        }
    }

    /// Set a key's value if it still has that version (None: if it has none). Whether it was.
    fn compare_and_set(
        &self,
        key: &Bound<'_, PyAny>,
        version: Option<u64>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let (py, key, pickle) = (key.py(), key::encode(key)?, pickle(value)?);
        let bytes = pickle.as_bytes();
        self.with(py, |mut guard| {
            if guard.version_of(&key)? != version {
                return Ok(false);
            }
            if bytes.len() > LARGE_BYTES { py.detach(move || guard.set(&key, bytes)) } else { guard.set(&key, bytes) }
                .map(|()| true)
        })
    }

    /// A key's value; if it has none, this one, which is set then.
    fn setdefault<'py>(&self, key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, key, pickle) = (key.py(), key::encode(key)?, pickle(value)?);
        let known = self.with(py, |mut guard| {
            let known = guard.get(&key)?;
            if known.is_none() {
                guard.set(&key, pickle.as_bytes())?;
            }
            Ok(known)
        })?;
        // Also what was just set comes as it will to others: a copy.
        unpickle(py, known.as_deref().unwrap_or(pickle.as_bytes()))
    }

    /// Take a key away, and give its value.
    fn pop<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, encoded) = (key.py(), key::encode(key)?);
        loop {
            let Some((pickle, version)) = self.look(py, &encoded)? else { return Err(missing(key)) };
            // What can't be read stays.
            let value = unpickle(py, &pickle)?;
            let is_taken = self.with(py, |mut guard| {
                let is_same = guard.version_of(&encoded)? == Some(version);
                if is_same {
                    guard.remove(&encoded)?;
                }
                Ok(is_same)
            })?;
            if is_taken {
                return Ok(value);
            }
        }
    }

    /// Take the key away that came last, and give it with its value.
    fn popitem<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let last = self.with(py, |mut guard| {
            let Some(key) = guard.last_key()? else { return Ok(None) };
            Ok(guard.remove(&key)?.map(|value| (key, value)))
        })?;
        let (key, pickle) = last.ok_or_else(|| PyKeyError::new_err("could not take an entry: there is none"))?;
        Ok((key::decode(py, &key)?, unpickle(py, &pickle)?))
    }

    /// Set many: all or none, whoever dies, and nobody sees some without the others.
    fn set_all(&self, py: Python<'_>, pairs: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>) -> PyResult<()> {
        let pickled = pairs.iter().map(|(key, value)| Ok((key::encode(key)?, pickle(value)?)));
        let pickled = pickled.collect::<PyResult<Vec<_>>>()?;
        let pairs: Vec<(&[u8], &[u8])> = pickled.iter().map(|(key, value)| (&key[..], value.as_bytes())).collect();
        self.with(py, |mut guard| py.detach(move || guard.set_all(&pairs)))
    }

    /// Take all away at once.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, |mut guard| guard.clear())
    }

    /// All keys, in the order in which they came.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let keys = self.with(py, |guard| guard.keys())?;
        keys.iter().map(|key| key::decode(py, key)).collect()
    }

    /// All keys and values as at one moment, in the order in which they came.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let entries = self.with(py, |guard| py.detach(move || guard.entries()))?;
        entries.iter().map(|(key, value)| Ok((key::decode(py, key)?, unpickle(py, value)?))).collect()
    }

    /// How often it was changed.
    #[getter]
    fn version(&self) -> PyResult<u64> {
        self.0.version().map_err(|error| map_error(&error))
    }

    /// How many bytes all entries may take.
    #[getter]
    fn limit_bytes(&self) -> usize {
        self.0.limit_bytes()
    }

    /// How many they take.
    #[getter]
    fn used_bytes(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |guard| guard.used_bytes())
    }

    /// Wait until it was changed since it had that version, for at most `timeout` seconds. True if it was.
    #[pyo3(signature = (version, timeout = None))]
    fn wait_changed(&self, py: Python<'_>, version: u64, timeout: Option<f64>) -> PyResult<bool> {
        let attempt = |limit| {
            match limit {
                None => self.0.wait_changed(version).map(Some),
                Some(limit) => self.0.wait_changed_for(version, limit),
            }
            .transpose()
        };
        let waited = wait::wait(py, Limit::seconds(timeout)?, attempt)?.transpose();
        waited.map(|changed| changed.is_some()).map_err(|error| map_error(&error))
    }

    /// As `wait_changed`, in a task. Cancelling it is safe at any time.
    fn wait_changed_async<'py>(&self, py: Python<'py>, version: u64) -> PyResult<Bound<'py, PyAny>> {
        let shared = self.0.clone();
        later::run(py, async move {
            let waited = shared.wait_changed_async(version).await;
            Box::new(|py: Python<'_>| {
                waited.map_err(|error| map_error(&error))?;
                Ok(PyBool::new(py, true).to_owned().into_any().unbind())
            }) as Ended
        })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (usize,))> {
        let number = passing::leave("Namespace or a Dict", &slf.get().0)?;
        Ok((slf.get_type().getattr("_received")?, (number,)))
    }

    #[classmethod]
    fn _received(_class: &Bound<'_, PyType>, number: usize) -> PyResult<Self> {
        passing::arrive("Namespace or a Dict", number).map(Self)
    }
}

/// All of an object in one pickle. What this library shares isn't in it: it can't lie about in memory, only travel.
fn pickle<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let dumps = DUMPS.import(value.py(), "pickle", "dumps")?;
    Ok(passing::apart(|| dumps.call1((value, 5)))?.cast_into::<PyBytes>()?)
}

fn unpickle<'py>(py: Python<'py>, pickle: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "pickle", "loads")?.call1((PyBytes::new(py, pickle),)).map_err(|error| {
        if !error.is_instance_of::<PyKeyError>(py) {
            return error;
        }
        // Else it would be taken for the news that there is no such key.
        let told = Class::CodecError.could_not(format!("unpickle a value: {error}"));
        told.set_cause(py, Some(error));
        told
    })
}

fn missing(key: &Bound<'_, PyAny>) -> PyErr {
    // A tuple would be taken for several arguments.
    match PyTuple::new(key.py(), [key]) {
        Ok(arguments) => PyKeyError::new_err(arguments.unbind()),
        Err(error) => error,
    }
}
