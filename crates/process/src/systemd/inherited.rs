//! What systemd left open for this process.

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Descriptors with their names, until somebody asks for them.
#[derive(Debug)]
pub(crate) struct Inherited(Mutex<Vec<(String, OwnedFd)>>);

impl Inherited {
    /// At the start, before there is a child that would inherit them too.
    pub(crate) fn take() -> Self {
        Self(Mutex::new(shm::wire::inherited()))
    }

    /// Those of this name, for good.
    pub(super) fn named(&self, name: &str) -> Vec<OwnedFd> {
        self.lock().extract_if(.., |(known, _)| known == name).map(|(_, descriptor)| descriptor).collect()
    }

    /// Copies of those of this name.
    pub(super) fn copies(&self, name: &str) -> std::io::Result<Vec<OwnedFd>> {
        self.lock().iter().filter(|(known, _)| known == name).map(|(_, descriptor)| descriptor.try_clone()).collect()
    }

    /// The names that there are.
    pub(super) fn names(&self) -> Vec<String> {
        self.lock().iter().map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, OwnedFd)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
