//! One asynchronous command that has been begun: a future that ends in any case, also by a panic.

use std::{
    cell::Cell,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures_util::future::{AbortHandle, Abortable, Aborted};
use shm::wire::{EncodeError, Packet};

use super::panics;
use crate::message::Failure;

/// What an asynchronous command comes to; the dispatcher that `#[commands]` writes makes them.
pub type Begun = Pin<Box<dyn Future<Output = Result<Packet, EncodeError>>>>;

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    Answered(Packet),
    Failed(Failure),
    /// It was dropped because nobody wants its answer any more.
    Cancelled,
}

pub(crate) struct Running {
    /// Its call's id.
    id: u64,
    future: Option<Abortable<Begun>>,
    handle: AbortHandle,
    /// Counts those that were polled once: then what they do before their first await is done.
    begun: Option<Rc<Cell<u64>>>,
}

impl Running {
    pub(crate) fn new(id: u64, begun: Begun) -> Self {
        let (handle, registration) = AbortHandle::new_pair();
        Self { id, future: Some(Abortable::new(begun, registration)), handle, begun: None }
    }

    /// Has its first poll counted.
    pub(super) fn counted(mut self, begun: &Rc<Cell<u64>>) -> Self {
        self.begun = Some(begun.clone());
        self
    }

    /// What cancels it, at its next poll, which is then soon.
    pub(super) fn handle(&self) -> AbortHandle {
        self.handle.clone()
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Destructors are other people's code too: a panic in one is told as all are, and concerns nobody else.
    fn discard(&mut self) {
        let future = self.future.take();
        if catch_unwind(AssertUnwindSafe(move || drop(future))).is_err() {
            tracing::warn!("what an asynchronous command held panicked as it was dropped");
        }
    }
}

impl Future for Running {
    type Output = (u64, End);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(u64, End)> {
        if let Some(begun) = self.begun.take() {
            begun.set(begun.get() + 1);
        }
        let Some(future) = &mut self.future else { return Poll::Ready((self.id, End::Cancelled)) };
        let end = match catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Ok(Ok(answer)))) => End::Answered(answer),
            Ok(Poll::Ready(Ok(Err(error)))) => End::Failed(Failure { why: format!("could not {error}"), trace: None }),
            Ok(Poll::Ready(Err(Aborted))) => End::Cancelled,
            Err(panic) => End::Failed(panics::failure(&*panic)),
        };
        self.discard();
        Poll::Ready((self.id, end))
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.discard();
    }
}
