//! Many things to come, one descriptor: what an asyncio loop has among its readers.

use std::{
    os::fd::{AsFd, AsRawFd},
    sync::{Arc, Mutex, PoisonError},
};

use pyo3::prelude::*;
use shm::doorbell::Doorbell;

/// Tells which of many things to come are worth a look.
#[pyclass(frozen, module = "framewire._core")]
#[derive(Clone)]
pub struct Notifier {
    bell: Doorbell,
    tokens: Arc<Mutex<Vec<u64>>>,
}

impl Notifier {
    pub fn put(&self, token: u64) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let first = tokens.is_empty();
        tokens.push(token);
        drop(tokens);
        if first {
            self.bell.ring();
        }
    }
}

#[pymethods]
impl Notifier {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self { bell: Doorbell::new()?, tokens: Arc::default() })
    }

    /// Readable while there is something to take.
    fn fileno(&self) -> i32 {
        self.bell.as_fd().as_raw_fd()
    }

    /// Makes it readable for good, if nobody takes.
    fn ring(&self) {
        self.bell.ring();
    }

    /// Takes the tokens of all that is worth a look.
    fn take(&self) -> Vec<u64> {
        self.bell.quiet();
        std::mem::take(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
