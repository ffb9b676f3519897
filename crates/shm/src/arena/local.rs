//! What this process has of arenas: one heart, and each arena mapped once.

use std::{
    collections::HashMap,
    ptr,
    sync::{
        Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicPtr, Ordering},
    },
};

use super::{ArenaError, Inner, heart::Heart};
use crate::{attendant::Attendants, fork::Birthplace};

/// One a process: a forked child makes its own, since the locks in its copy may be held by threads that it doesn't have.
pub(crate) struct Local {
    born: Birthplace,
    heart: OnceLock<Heart>,
    /// The threads that sleep for pending futures.
    pub attendants: Attendants,
    /// By id. To be locked also while one is being joined, so that two threads can't both do so.
    pub(super) arenas: Mutex<HashMap<u64, Weak<Inner>>>,
    starting: Mutex<()>,
}

impl Local {
    /// This process's.
    pub(crate) fn here() -> &'static Self {
        static HERE: AtomicPtr<Local> = AtomicPtr::new(ptr::null_mut());
        let born = Birthplace::here();
        loop {
            let now = HERE.load(Ordering::Acquire);
            // SAFETY: it is null or was leaked below, and is never freed.
            if let Some(local) = unsafe { now.as_ref() }
                && local.born == born
            {
                return local;
            }
            let (arenas, starting) = (Mutex::default(), Mutex::new(()));
            let fresh = Self { born, heart: OnceLock::new(), attendants: Attendants::default(), arenas, starting };
            let fresh = Box::into_raw(Box::new(fresh));
            if HERE.compare_exchange(now, fresh, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                // SAFETY: made above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    /// Its heart, started if this is the first time.
    pub(super) fn heart(&self) -> Result<&Heart, ArenaError> {
        if let Some(heart) = self.heart.get() {
            return Ok(heart);
        }
        let _one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.heart.get().is_none() {
            let _ = self.heart.set(Heart::start()?);
        }
        self.heart.get().ok_or(ArenaError::Heart(std::io::Error::other("it ended at once")))
    }
}
