//! Processes and pools: `framewire.process` and `framewire.pool` are written over these.

mod answer;
mod birthplace;
mod call;
mod child;
mod context;
mod exit;
mod failure;
mod group;
mod handle;
mod interpreter;
mod log;
mod message;
mod options;
mod pending;
mod pool;
mod record;
mod sentinel;
mod system;
mod task;
mod timer;
mod watched;

use pyo3::prelude::*;

/// Puts all of it into the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<system::System>()?;
    module.add_class::<system::Starting>()?;
    module.add_class::<handle::Handle>()?;
    module.add_class::<call::Call>()?;
    module.add_class::<pending::Pending>()?;
    module.add_class::<context::ChildContext>()?;
    module.add_class::<task::Outcome>()?;
    module.add_class::<pool::Pool>()?;
    module.add_class::<group::Group>()?;
    module.add_function(wrap_pyfunction!(child::run_child, module)?)?;
    module.add_function(wrap_pyfunction!(record::log_record, module)?)?;
    module.add_function(wrap_pyfunction!(log::flush_log, module)?)
}
