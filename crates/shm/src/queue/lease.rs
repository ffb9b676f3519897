//! An item that is out.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use super::{
    cells::{self, Taken},
    handle::Shared,
};

/// An item that this process has, and has not acknowledged. It reads as the item itself.
///
/// [`done`](Self::done) acknowledges it. If the lease is dropped instead, or its process dies, the item is delivered again: to
/// whoever asks next, before everything that waits, with one more delivery counted. So an error on the way (`?`), or a panic,
/// leaves the item to another attempt.
///
/// ```
/// use shm::{arena::Arena, queue::{Queue, QueueOptions}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let arena = Arena::create(QueueOptions::default().bytes()?)?;
/// let queue = Queue::create(&arena, QueueOptions::default())?;
/// queue.put("first".to_owned())?;
/// queue.put("second".to_owned())?;
/// drop(queue.lease()?);
/// let again = queue.lease()?;
/// assert_eq!((again.as_str(), again.deliveries()), ("first", 2));
/// assert_eq!(again.done(), "first");
/// assert_eq!(queue.len(), 1);
/// # Ok(()) }
/// ```
#[must_use = "dropped, the item goes back to the queue"]
pub struct Lease<T> {
    item: T,
    hold: Hold,
}

impl<T> Lease<T> {
    pub(super) fn new(item: T, hold: Hold) -> Self {
        Self { item, hold }
    }

    pub(super) fn into_parts(self) -> (T, Hold) {
        (self.item, self.hold)
    }

    /// How often the item was delivered, with this time: more than 1 only after somebody dropped it unacknowledged, or died.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.hold.taken.deliveries
    }

    /// Acknowledges the item, and gives it: nobody will get it again. It can't fail. (In a forked process it does nothing.)
    pub fn done(self) -> T {
        self.hold.done();
        self.item
    }
}

impl<T> Deref for Lease<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

impl<T> DerefMut for Lease<T> {
    /// Changes are this process's own: who gets the item next gets it as it was put.
    fn deref_mut(&mut self) -> &mut T {
        &mut self.item
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("item", &self.item).field("deliveries", &self.deliveries()).finish()
    }
}

/// A cell that is leased to this process, until this is dropped.
pub(super) struct Hold {
    queue: Arc<Shared>,
    taken: Taken,
    is_over: bool,
}

impl Hold {
    pub(super) fn new(queue: &Arc<Shared>, taken: Taken) -> Self {
        Self { queue: Arc::clone(queue), taken, is_over: false }
    }

    pub(super) fn done(mut self) {
        if self.queue.check().is_ok() {
            cells::settle(&self.queue.memory, self.taken.cell);
        }
        self.is_over = true;
    }

    /// Goes without giving the cell back: the caller sees to it.
    pub(super) fn keep(mut self) -> Taken {
        self.is_over = true;
        self.taken
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.is_over && self.queue.check().is_ok() {
            cells::give_back(&self.queue.memory, self.taken);
        }
    }
}
