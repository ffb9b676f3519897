//! How tasks are given to a pool: one after the other, in chunks, with a priority, with progress.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::{
    Job, Pool, PoolError, Star, TaskError,
    imap::{Imap, Order},
    job::Slot,
    task::{Home, Place, Task},
};
use crate::{Call, Commands};

/// How far a `map` or `imap` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Items with a result, of whatever kind.
    pub done: u64,
    /// Those of them without an answer.
    pub failed: u64,
    /// Items that were read from the input so far.
    pub read: u64,
    /// All items there will be, if the input knows.
    pub total: Option<u64>,
}

/// Tasks about to be given to a pool, and how: what [`Pool::chunk`], [`Pool::priority`], [`Pool::ahead`] and
/// [`Pool::progress`] give.
#[must_use = "it gives no task until `map` or another of its methods is called"]
pub struct Run<'p, P: Commands> {
    pub(super) pool: &'p Pool<P>,
    pub(super) chunk: usize,
    pub(super) priority: i32,
    pub(super) ahead: Option<usize>,
    pub(super) progress: Option<Box<dyn FnMut(Progress) + 'p>>,
}

impl<'p, P: Commands> Run<'p, P> {
    pub(super) fn new(pool: &'p Pool<P>) -> Self {
        Self { pool, chunk: 1, priority: 0, ahead: None, progress: None }
    }

    /// So many items in a row go to one worker together. Without this each goes by itself, and a worker has as many
    /// ahead as its tasks are short, which is nearly always better.
    pub fn chunk(self, items: usize) -> Self {
        Self { chunk: items.max(1), ..self }
    }

    /// Tasks of a higher priority are given to workers first; 0 is usual. What a worker has already isn't taken back.
    pub fn priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// At most so many items are read ahead of what was given back; by default as many as keep short tasks going, but no
    /// more than 64 MiB of them (and always two for each worker).
    pub fn ahead(self, items: usize) -> Self {
        Self { ahead: Some(items.max(1)), ..self }
    }

    /// Has `progress` called, on the thread that waits for the results, whenever some have come.
    pub fn progress(self, progress: impl FnMut(Progress) + 'p) -> Self {
        Self { progress: Some(Box::new(progress)), ..self }
    }

    /// See [`Pool::map`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn map<R, I, F>(self, items: I, make: F) -> Result<Vec<Result<R, TaskError>>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: FnMut(&P::Handle, I::Item) -> Call<R>,
    {
        Ok(Imap::start(self, items, make, Order::AllAtTheEnd)?.collect())
    }

    /// See [`Pool::imap`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn imap<R, I, F>(self, items: I, make: F) -> Result<Imap<'p, P, R, I::IntoIter, F>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: FnMut(&P::Handle, I::Item) -> Call<R>,
    {
        Imap::start(self, items, make, Order::AsRead)
    }

    /// See [`Pool::imap_unordered`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn imap_unordered<R, I, F>(self, items: I, make: F) -> Result<Imap<'p, P, R, I::IntoIter, F>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: FnMut(&P::Handle, I::Item) -> Call<R>,
    {
        Imap::start(self, items, make, Order::AsDone)
    }

    /// See [`Pool::starmap`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn starmap<R, I, F>(self, items: I, mut make: F) -> Result<Vec<Result<R, TaskError>>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: Star<P::Handle, I::Item, R>,
    {
        self.map(items, |worker, item| make.call(worker, item))
    }

    /// See [`Pool::apply`].
    ///
    /// # Errors
    ///
    /// See [`TaskError`].
    pub fn apply<R: DeserializeOwned>(self, make: impl FnOnce(&P::Handle) -> Call<R>) -> Result<R, TaskError> {
        self.apply_async(make)?.wait()
    }

    /// See [`Pool::apply_async`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn apply_async<R: DeserializeOwned>(
        self,
        make: impl FnOnce(&P::Handle) -> Call<R>,
    ) -> Result<Job<R>, PoolError> {
        let office = &self.pool.office;
        office.check()?;
        let slot = Arc::new(Slot::default());
        let home = Home::new(Place::Job(slot.clone()));
        match make(&self.pool.stand_in).into_command() {
            Ok(command) => {
                let task = Task { command, home, deliveries: 0, joined: false, priority: self.priority };
                let mut tasks = vec![task];
                if let Err(why) = office.submit(&mut tasks) {
                    tasks.into_iter().for_each(|task| task.home.disown());
                    return Err(why);
                }
            }
            Err(why) => drop(home.deliver(Err(TaskError::NotSent { why }))),
        }
        Ok(Job::new(slot, office.clone()))
    }
}

impl<P: Commands> fmt::Debug for Run<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("chunk", &self.chunk).field("priority", &self.priority).finish_non_exhaustive()
    }
}
