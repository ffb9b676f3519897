//! A task as its pool keeps it until it has an outcome.

use std::sync::Arc;

use shm::wire::Packet;

use super::{PoolError, TaskError, batch::Batch, job::Slot};

/// What became of a task: its encoded answer, or why there is none.
pub(super) type Outcome = Result<Packet, TaskError>;

/// A task that has no outcome yet. The pool keeps it whole, so that it can be given to another worker.
#[derive(Debug)]
pub(super) struct Task {
    pub command: Packet,
    pub home: Home,
    /// How many workers have begun it.
    pub deliveries: u32,
    /// It goes to the same worker as the one before it: both are of one chunk.
    pub joined: bool,
    /// The higher the sooner.
    pub priority: i32,
}

/// Where an outcome goes.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// To a `map` or `imap`: its item of this number.
    Batch(Arc<Batch>, u64),
    /// To a single job.
    Job(Arc<Slot>),
}

/// A place that has its outcome still to come. Dropped without one, it gets [`TaskError::Pool`]: nobody waits for ever,
/// whatever happens to the pool.
#[derive(Debug)]
pub(super) struct Home(Option<Place>);

impl Home {
    pub(super) fn new(place: Place) -> Self {
        Self(Some(place))
    }

    pub(super) fn is(&self, other: &Place) -> bool {
        match (&self.0, other) {
            (Some(Place::Batch(one, _)), Place::Batch(other, _)) => Arc::ptr_eq(one, other),
            (Some(Place::Job(one)), Place::Job(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Delivers. What comes back is to be woken, when all that comes at once is delivered.
    #[must_use]
    pub(super) fn deliver(mut self, outcome: Outcome) -> Option<Arc<Batch>> {
        deliver(self.0.take()?, outcome)
    }
}

impl Home {
    /// Nobody waits for this one: the pool never took it.
    pub(super) fn disown(mut self) {
        self.0 = None;
    }
}

fn deliver(place: Place, outcome: Outcome) -> Option<Arc<Batch>> {
    match place {
        Place::Batch(batch, index) => batch.put(index, outcome).then_some(batch),
        Place::Job(slot) => {
            slot.put(outcome);
            None
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(place) = self.0.take() {
            let lost = PoolError::Failed { cause: "the pool's thread ended before its tasks".to_owned() };
            if let Some(batch) = deliver(place, Err(lost.into())) {
                batch.wake();
            }
        }
    }
}
