//! Who holds a reader's frames, for the error that there are too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use pyo3::{prelude::*, sync::PyOnceLock};

use crate::error::Class;

/// The frames of one reader that aren't let go of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<Held>>);

/// By the frame's number: the thread that took it, and when.
type Held = BTreeMap<u64, (Arc<str>, Instant)>;

/// One of them; dropped, it is let go of.
#[derive(Debug)]
pub(crate) struct Noted(Leases, u64);

impl Leases {
    /// This thread has taken a frame.
    pub(crate) fn note(&self, py: Python<'_>, sequence: u64) -> Noted {
        self.lock().insert(sequence, (thread_name(py), Instant::now()));
        Noted(self.clone(), sequence)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// All of them, as text: their numbers, who took them, and how long ago.
    pub(crate) fn listed(&self) -> String {
        let now = Instant::now();
        let held: Vec<_> = self
            .lock()
            .iter()
            .map(|(sequence, (thread, since))| {
                format!("frame {sequence} by thread {thread} for {:.1} s", (now - *since).as_secs_f64())
            })
            .collect();
        held.join(", ")
    }

    /// What to tell one who wants one more than `leases`.
    pub(super) fn error(&self, leases: u32) -> PyErr {
        Class::LeasesError.says(format!(
            "could not read the ring: all {leases} frames that this reader may hold are held, in process {}: {}; leave their \
             `with`, call `release()` or drop them and all arrays made from them, take a `copy()` of what is kept for long, or \
             ask for more leases",
            std::process::id(),
            self.listed()
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// As Python calls the thread.
fn thread_name(py: Python<'_>) -> Arc<str> {
    thread_local! {
        static NAME: std::cell::OnceCell<Arc<str>> = const { std::cell::OnceCell::new() };
    }
    let ask = || {
        static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let name = CURRENT.import(py, "threading", "current_thread")?.call0()?.getattr("name")?;
        name.extract::<String>()
    };
    NAME.with(|name| name.get_or_init(|| ask().map_or_else(|_| "?".into(), Into::into)).clone())
}
