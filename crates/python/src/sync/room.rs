//! Where small objects of this process are made: in arenas that they share.

use std::sync::{Mutex, PoisonError};

use pyo3::PyResult;
use shm::arena::{Arena, ArenaError};

use crate::error::{self, Class};

/// How large such an arena is: room for some thousand locks. An arena for each would cost a descriptor and 24 KiB each.
const BYTES: usize = 256 * 1024;

/// Makes an object in an arena with room for it. The memory is given back when nobody, in any process, has any object of the
/// arena any more.
pub(crate) fn make<T>(bytes: usize, make: impl Fn(&Arena) -> Result<T, ArenaError>) -> PyResult<T> {
    static CURRENT: Mutex<Option<Arena>> = Mutex::new(None);
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    // Half of it is for the conditions of its locks, which have to be in the same one.
    if let Some(arena) = &*current
        && arena.free_bytes() > BYTES / 2
    {
        match make(arena) {
            // Full, or our parent's.
            Err(ArenaError::Full { .. } | ArenaError::Forked(_)) => {}
            made => return made.map_err(|error| arena_error(&error)),
        }
    }
    let bytes = bytes.saturating_add(4096).max(BYTES);
    let arena = Arena::create(bytes).map_err(|error| arena_error(&error))?;
    let made = make(&arena).map_err(|error| arena_error(&error))?;
    // A large one isn't worth keeping: it is full.
    if bytes == BYTES {
        *current = Some(arena);
    }
    Ok(made)
}

/// An arena's error as an exception.
pub(crate) fn arena_error(error: &ArenaError) -> pyo3::PyErr {
    match error {
        ArenaError::Forked(forked) => error::forked(*forked),
        ArenaError::Memory(memory) => error::memory(memory),
        ArenaError::Full { .. } | ArenaError::TooLarge(_) => Class::OutOfMemoryError.could_not(error),
        _ => Class::ResourceError.could_not(error),
    }
}
