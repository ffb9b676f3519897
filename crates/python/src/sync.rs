//! Locks and their kin between processes, as Python has them.

mod barrier;
mod block;
mod condition;
mod event;
mod lock;
pub(crate) mod room;
mod rwlock;
mod semaphore;

use pyo3::prelude::*;

pub(crate) use self::room::arena_error;

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<lock::Lock>()?;
    module.add_class::<lock::RLock>()?;
    module.add_class::<condition::Condition>()?;
    module.add_class::<semaphore::Semaphore>()?;
    module.add_class::<semaphore::BoundedSemaphore>()?;
    module.add_class::<event::Event>()?;
    module.add_class::<barrier::Barrier>()?;
    module.add_class::<rwlock::RWLock>()?;
    module.add_class::<block::Block>()
}
