//! Whoever gets a process's events as they come.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use shm::wire::Packet;

use crate::{child::panics, connection::lock};

type Hear = Box<dyn Fn(Packet) + Send>;

/// The application's own code: a panic in it is logged, and ends with that event.
pub(crate) struct Listener(Mutex<Option<Hear>>);

impl Listener {
    pub(crate) fn new(hear: impl Fn(Packet) + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(hear))))
    }

    /// Has it hear an event. Only the supervisor's thread does so, and nobody else takes this lock: what is called here may
    /// itself begin to listen, which puts another listener in this one's place.
    pub(super) fn hear(&self, process: &str, event: Packet) {
        let hear = lock(&self.0);
        let Some(hear) = &*hear else { return };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hear(event))) {
            let what = panics::text(&*panic);
            tracing::error!(process, "what hears its events panicked, and goes on with the next one: {what}");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let hear = lock(&self.0).take();
        // Perhaps on the supervisor's thread: what it holds may have destructors that panic.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(hear))) {
            tracing::error!("what has heard a process's events panicked as it was dropped: {}", panics::text(&*panic));
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
