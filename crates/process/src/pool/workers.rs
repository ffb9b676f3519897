//! What workers a pool has, and what happens to tasks at which they die.

use std::{ffi::OsString, time::Duration};

use crate::{Executable, system::GRACE};

/// How many workers a pool has and how it treats them. A plain number is one too: `system.pool::<P>(4, …)`.
///
/// ```
/// use process::pool::Workers;
/// let four = Workers::new(4).max_tasks_per_child(1000).max_memory_per_child(512 << 20).redeliver(3);
/// # let _ = four;
/// ```
#[derive(Clone, Debug)]
#[must_use = "it says nothing until a pool is made with it"]
pub struct Workers {
    pub(super) count: usize,
    pub(super) name: Option<String>,
    pub(super) max_tasks: Option<u64>,
    pub(super) max_memory: Option<u64>,
    pub(super) memory_limit: Option<u64>,
    pub(super) deliveries: Option<u32>,
    pub(super) ready_within: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) executable: Option<Executable>,
    pub(super) environment: Vec<(OsString, OsString)>,
}

impl Workers {
    /// So many workers, at least one.
    pub fn new(count: usize) -> Self {
        Self {
            count: count.max(1),
            name: None,
            max_tasks: None,
            max_memory: None,
            memory_limit: None,
            deliveries: None,
            ready_within: None,
            grace: GRACE,
            executable: None,
            environment: Vec::new(),
        }
    }

    /// As many as there are processors for this process.
    pub fn one_per_cpu() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// What the workers' names begin with; by default the kind and the pool's number, as in `detector.p1-0`.
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// After so many tasks a worker stops, and another takes its place; that one is started first, so the pool doesn't
    /// wait for it. At least 1. By default a worker lives as long as its pool.
    pub fn max_tasks_per_child(self, tasks: u64) -> Self {
        Self { max_tasks: Some(tasks.max(1)), ..self }
    }

    /// A worker whose resident memory is above so many bytes after a task is replaced in the same way. It looks at most
    /// every 20 ms. A task that grows without end isn't stopped by this: it is looked at when it is done. For that one there is
    /// [`memory_limit`](Self::memory_limit).
    pub fn max_memory_per_child(self, bytes: u64) -> Self {
        Self { max_memory: Some(bytes), ..self }
    }

    /// A worker that takes more than so many bytes of memory, in the middle of a task too, is killed
    /// ([`Spawn::memory_limit`](crate::Spawn::memory_limit)): that task ends as at any death of its worker, with
    /// [`OutOfMemory`](crate::Exit::OutOfMemory) as the cause, and another worker takes its place.
    pub fn memory_limit(self, bytes: u64) -> Self {
        Self { memory_limit: Some(bytes), ..self }
    }

    /// A task at which its worker dies is given to another, until so many have begun it (*at least once*); then it is a
    /// [dead letter](super::Pool::dead_letters). By default it is given to one only (*at most once*), and ends with
    /// [`TaskError::WorkerLost`](super::TaskError::WorkerLost).
    pub fn redeliver(self, at_most: u32) -> Self {
        Self { deliveries: Some(at_most.max(1)), ..self }
    }

    /// How long a worker has to become ready; by default as every process.
    pub fn ready_within(self, limit: Duration) -> Self {
        Self { ready_within: Some(limit), ..self }
    }

    /// Another executable becomes the workers; see [`Spawn::executable`](crate::Spawn::executable).
    pub fn executable(self, executable: Executable) -> Self {
        Self { executable: Some(executable), ..self }
    }

    /// Sets a variable of the workers' environment, which is otherwise ours.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// How long a worker that has nothing more to do has to stop; by default 0.5 s.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }
}

impl From<usize> for Workers {
    fn from(count: usize) -> Self {
        Self::new(count)
    }
}
