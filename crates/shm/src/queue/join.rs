//! Waiting until everything is dealt with.

use std::time::Duration;

use super::{
    JoinError, Queue, cells, members, ring,
    wait::{self, Limit},
    words::Words,
};

impl<T> Queue<T> {
    /// Waits until everything that was put before this call is acknowledged, or a dead letter. It looks at the items
    /// themselves, so no death can make it wait for what isn't there.
    ///
    /// # Errors
    ///
    /// [`JoinError::Forked`].
    pub fn join(&self) -> Result<(), JoinError> {
        self.join_within(Limit::Never)
    }

    /// As [`join`](Self::join), but waits no longer than `limit`.
    ///
    /// # Errors
    ///
    /// As `join`, and [`JoinError::TimedOut`] when the limit has passed.
    ///
    /// ```
    /// use shm::{arena::Arena, queue::{JoinError, Queue, QueueOptions}};
    /// use std::time::Duration;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let arena = Arena::create(QueueOptions::default().bytes()?)?;
    /// let queue = Queue::create(&arena, QueueOptions::default())?;
    /// queue.put(1)?;
    /// let job = queue.lease()?;
    /// assert!(matches!(queue.join_for(Duration::ZERO), Err(JoinError::TimedOut { unfinished: 1 })));
    /// job.done();
    /// queue.join_for(Duration::ZERO)?;
    /// # Ok(()) }
    /// ```
    pub fn join_for(&self, limit: Duration) -> Result<(), JoinError> {
        self.join_within(Limit::of(limit))
    }

    fn join_within(&self, limit: Limit) -> Result<(), JoinError> {
        self.shared.check()?;
        let memory = &self.shared.memory;
        let (_, end) = ring::span(memory);
        // An item stays in its cell until it is acknowledged, and later ones have later tickets: so a cell that was seen
        // without one of ours needn't be looked at again.
        let mut cell = 0;
        let attempt = || {
            while cell < memory.shape().cells {
                if cells::is_unfinished(memory, cell, end) {
                    return Err(memory.settled());
                }
                cell += 1;
            }
            Ok(())
        };
        wait::until(memory, limit, attempt, || members::sweep(memory))
            .ok_or_else(|| JoinError::TimedOut { unfinished: self.unfinished() })
    }
}
