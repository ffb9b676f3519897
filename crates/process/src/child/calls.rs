//! The asynchronous calls of a process: those that run, and those that wait for room.

use std::{
    cell::Cell,
    collections::{HashMap, VecDeque},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_util::{
    future::AbortHandle,
    stream::{FuturesUnordered, Stream},
};
use shm::doorbell::Doorbell;

use super::{
    Turn,
    control::MAX_WAITING,
    running::{Begun, End, Running},
};

/// Calls are gone on with for so long; then the event loop has its turn (plain commands, a stop, a watched descriptor).
const SLICE: Duration = Duration::from_millis(1);

/// They are polled on the thread of the event loop and nowhere else, so a process's futures need be no [`Send`], and
/// wake it by a doorbell, from whatever thread and runtime.
pub(super) struct Calls {
    most: usize,
    running: FuturesUnordered<Running>,
    /// How each of the running ones is cancelled.
    handles: HashMap<u64, AbortHandle>,
    /// In order. They aren't begun: a future does nothing before it is polled.
    waiting: VecDeque<Running>,
    /// How many found room as they came, and how many of these have begun.
    let_run: u64,
    begun: Rc<Cell<u64>>,
    waker: Waker,
}

/// A future woke up: so shall the event loop.
struct Ring(Doorbell);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.ring();
    }
}

/// A waker that rings.
pub(crate) fn waker(bell: &Doorbell) -> Waker {
    Waker::from(Arc::new(Ring(bell.clone())))
}

impl Calls {
    pub(super) fn new(most: usize, bell: &Doorbell) -> Self {
        let (running, handles, waiting) = (FuturesUnordered::new(), HashMap::new(), VecDeque::new());
        Self { most, running, handles, waiting, let_run: 0, begun: Rc::default(), waker: waker(bell) }
    }

    /// Takes a call; [`go_on`](Self::go_on) begins it when there is room. `false`: too many wait already.
    #[must_use]
    pub(super) fn take(&mut self, id: u64, begun: Begun) -> bool {
        let running = Running::new(id, begun);
        if self.running.len() < self.most {
            self.let_run += 1;
            self.begin(running.counted(&self.begun));
        } else if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(running);
        } else {
            return false;
        }
        true
    }

    fn begin(&mut self, running: Running) {
        self.handles.insert(running.id(), running.handle());
        self.running.push(running);
    }

    /// A running call ends as cancelled when it is polled next, which is at once. One that waits is dropped.
    pub(super) fn cancel(&mut self, id: u64) {
        match self.handles.get(&id) {
            Some(handle) => handle.abort(),
            None => self.waiting.retain(|waiting| waiting.id() != id),
        }
    }

    /// Lets those that were woken run as far as they get, for about a millisecond, and in any case begins those that found
    /// room as they came: what came later is later. `ended` hears of each that ends.
    pub(super) fn go_on<E>(&mut self, mut ended: impl FnMut(u64, End) -> Result<(), E>) -> Result<Turn, E> {
        let begun = Instant::now();
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        loop {
            let next = Pin::new(&mut self.running).poll_next(&mut cx);
            let has_begun_all = self.begun.get() == self.let_run;
            match next {
                Poll::Ready(Some((id, end))) => {
                    self.handles.remove(&id);
                    ended(id, end)?;
                    if let Some(next) = self.waiting.pop_front() {
                        self.begin(next);
                    }
                    if has_begun_all && begun.elapsed() >= SLICE {
                        return Ok(Turn::Again);
                    }
                }
                // Those that can't go on; or those that could, but for others' sake ring instead.
                Poll::Ready(None) | Poll::Pending if has_begun_all => return Ok(Turn::Sleep),
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
    }

    /// Those that wait are dropped: the process is stopping.
    pub(super) fn drop_waiting(&mut self) {
        self.waiting.clear();
    }

    pub(super) fn running(&self) -> usize {
        self.running.len()
    }
}
