//! The stream of what happens to processes, for whoever watches.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use shm::doorbell::Doorbell;

use crate::{
    Change,
    connection::lock,
    wakers::{Place, Wakers},
};

/// So many wait as they came; then those of one process begin to be merged. A burst of a thousand starts fits nearly.
const AT_MOST: usize = 1024;

/// Every change in the state of any process, in order, since [`System::changes`](crate::System::changes) gave this.
///
/// It can be waited for by threads ([`recv`](Self::recv), [`iter`](Self::iter)), tasks ([`next`](Self::next)), a
/// [`Select`](crate::Select) and any other event loop ([`descriptor`](Self::descriptor)). The supervisor never waits for a
/// reader: of one that is slow by more than 1,024 changes, older changes of the same process are merged into the next one
/// ([`Change::merged`]), so that it always gets the latest state of each, and memory is bounded by the number of processes.
///
/// ```no_run
/// # use process::{State, System};
/// # fn app(system: &System) {
/// for change in &system.changes() {
///     println!("{} is {}", change.name, change.state.as_str());
///     if change.state == State::Failed {
///         break;
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Changes(Arc<Stream>);

/// What the supervisor and a reader share.
#[derive(Debug)]
pub(crate) struct Stream {
    queue: Mutex<Queue>,
    came: Condvar,
    wakers: Arc<Wakers>,
    /// Made when somebody asks for a descriptor.
    bell: OnceLock<Doorbell>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        let (queue, came, wakers, bell) = Default::default();
        Self(Arc::new(Stream { queue, came, wakers, bell }))
    }

    pub(crate) fn writer(&self) -> Weak<Stream> {
        Arc::downgrade(&self.0)
    }

    pub(crate) fn stream(&self) -> &Arc<Stream> {
        &self.0
    }

    /// The next change; waits for it. There is always a next one: the supervisor lives as long as this process.
    #[must_use = "it is taken out of the stream"]
    pub fn recv(&self) -> Change {
        loop {
            let queue = lock(&self.0.queue);
            let empty = |queue: &mut Queue| queue.waiting.is_empty();
            let queue = self.0.came.wait_while(queue, empty).unwrap_or_else(PoisonError::into_inner);
            if let Some(change) = self.0.take(queue) {
                return change;
            }
        }
    }

    /// The next change, or `None` when `limit` is over.
    #[must_use = "it is taken out of the stream"]
    pub fn recv_timeout(&self, limit: Duration) -> Option<Change> {
        if Instant::now().checked_add(limit).is_none() {
            return Some(self.recv());
        }
        let queue = lock(&self.0.queue);
        let empty = |queue: &mut Queue| queue.waiting.is_empty();
        let waited = self.0.came.wait_timeout_while(queue, limit, empty);
        self.0.take(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The next change, if there is one now.
    #[must_use = "it is taken out of the stream"]
    pub fn try_recv(&self) -> Option<Change> {
        self.0.take(lock(&self.0.queue))
    }

    /// Awaits the next change, under any runtime. The future can be dropped at any time; no change is lost by that.
    pub fn next(&self) -> NextChange<'_> {
        NextChange { changes: self, place: Place::default() }
    }

    /// All changes, waiting for each. It doesn't end.
    pub fn iter(&self) -> ChangesIter<&Self> {
        ChangesIter(self)
    }

    /// Those changes that are there now.
    pub fn try_iter(&self) -> impl Iterator<Item = Change> + '_ {
        std::iter::from_fn(|| self.try_recv())
    }

    /// How many changes were dropped: only such as concern processes that had ended and to which no handle was left, while
    /// the queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        lock(&self.0.queue).dropped
    }

    /// A descriptor that is readable while there is a change to take. It is made at the first call; never read from it.
    ///
    /// # Errors
    ///
    /// If this process has no descriptor left; it needs two.
    pub fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        if self.0.bell.get().is_none() {
            let bell = Doorbell::new()?;
            // Under the lock, so that it agrees with the queue from the beginning.
            let queue = lock(&self.0.queue);
            if self.0.bell.set(bell).is_ok() && !queue.waiting.is_empty() {
                self.0.bell.get().iter().for_each(|bell| bell.ring());
            }
        }
        self.0.bell.get().map(AsFd::as_fd).ok_or_else(|| io::Error::other("no bell"))
    }
}

impl<'c> IntoIterator for &'c Changes {
    type Item = Change;
    type IntoIter = ChangesIter<&'c Changes>;

    fn into_iter(self) -> Self::IntoIter {
        ChangesIter(self)
    }
}

impl IntoIterator for Changes {
    type Item = Change;
    type IntoIter = ChangesIter<Changes>;

    fn into_iter(self) -> Self::IntoIter {
        ChangesIter(self)
    }
}

impl AsRef<Changes> for Changes {
    fn as_ref(&self) -> &Changes {
        self
    }
}

/// All changes, waiting for each ([`Changes::iter`]).
#[derive(Debug)]
pub struct ChangesIter<C>(C);

impl<C: AsRef<Changes>> Iterator for ChangesIter<C> {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        Some(self.0.as_ref().recv())
    }
}

/// The next change, being awaited ([`Changes::next`]).
#[derive(Debug)]
#[must_use = "a future does nothing until it is awaited"]
pub struct NextChange<'c> {
    changes: &'c Changes,
    place: Place,
}

impl Future for NextChange<'_> {
    type Output = Change;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Change> {
        let changes = self.changes;
        match changes.0.poll(&mut self.place, cx.waker()).then(|| changes.try_recv()) {
            Some(Some(change)) => Poll::Ready(change),
            // Somebody else took it in between.
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

impl Stream {
    /// A process has changed. Never waits.
    pub(crate) fn put(&self, id: u64, change: Change) {
        let mut queue = lock(&self.queue);
        queue.put(id, change, AT_MOST);
        self.bell.get().iter().for_each(|bell| bell.ring());
        drop(queue);
        self.came.notify_one();
        self.wakers.wake_all();
    }

    /// Nobody can reach this process any more.
    pub(crate) fn forget(&self, id: u64) {
        lock(&self.queue).forget(id);
    }

    /// Whether there is one to take; else `waker` is woken when there is.
    pub(crate) fn poll(&self, place: &mut Place, waker: &Waker) -> bool {
        let is_ready = || !lock(&self.queue).waiting.is_empty();
        is_ready() || {
            place.take(&self.wakers, waker);
            is_ready() // by now
        }
    }

    fn take(&self, mut queue: MutexGuard<'_, Queue>) -> Option<Change> {
        let taken = queue.waiting.pop_front();
        if queue.waiting.is_empty() {
            self.bell.get().iter().for_each(|bell| bell.quiet());
        }
        taken.map(|waiting| waiting.change)
    }
}

/// What one reader hasn't read yet.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    dropped: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    change: Change,
    /// Its process is over, and nobody can ask about it any more.
    forgotten: bool,
}

impl Queue {
    fn put(&mut self, id: u64, change: Change, at_most: usize) {
        self.waiting.push_back(Waiting { id, change, forgotten: false });
        if self.waiting.len() <= at_most {
            return;
        }
        let mut same = self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.id == id).map(|(index, _)| index);
        if let (Some(oldest), Some(next)) = (same.next(), same.next()) {
            // The next one first: taking the oldest out moves it.
            let older = self.waiting[oldest].change.clone();
            self.waiting[next].change.take_in(older);
            self.waiting.remove(oldest);
        } else if let Some(index) = self.waiting.iter().position(|waiting| waiting.forgotten) {
            // There is no end of processes that come and go.
            let gone = self.waiting.remove(index);
            self.dropped += 1 + gone.map_or(0, |gone| gone.change.merged);
        }
    }

    fn forget(&mut self, id: u64) {
        self.waiting.iter_mut().filter(|waiting| waiting.id == id).for_each(|waiting| waiting.forgotten = true);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::{Exit, State};

    fn change(name: &str, state: State, restarts: u64) -> Change {
        Change { restarts, ..Change::of(name.to_owned(), state) }
    }

    fn queue(at_most: usize, puts: impl IntoIterator<Item = (u64, Change)>) -> Queue {
        let mut queue = Queue::default();
        puts.into_iter().for_each(|(id, change)| queue.put(id, change, at_most));
        queue
    }

    #[test]
    fn of_a_slow_reader_the_oldest_of_one_process_are_merged_and_counted() {
        let died = Change { exit: Some((Exit::Signal(9), Vec::new())), ..change("a", State::Restarting, 0) };
        let others = (1..4).map(|number| (1, change("a", State::Ready, number)));
        let queue = queue(3, [(1, died), (2, change("b", State::Ready, 0))].into_iter().chain(others));
        let told: Vec<_> = queue
            .waiting
            .iter()
            .map(|waiting| (waiting.change.name.as_str(), waiting.change.restarts, waiting.change.merged))
            .collect();
        assert_eq!(told, [("b", 0, 0), ("a", 2, 2), ("a", 3, 0)]);
        assert_eq!(queue.waiting[1].change.exit.as_ref().unwrap().0, Exit::Signal(9), "a death isn't lost");
        assert_eq!(queue.dropped, 0);
    }

    /// Half a million changes of a thousand processes at a reader that doesn't read: bounded, and the latest of each there.
    #[test]
    fn memory_is_bounded_by_the_number_of_processes() {
        let puts = (0..500_000).map(|number| (number % 1000, change("p", State::Ready, number)));
        let queue = queue(64, puts.take(60_000));
        assert!(queue.waiting.len() <= 1000 + 64, "{}", queue.waiting.len());
        let merged: u64 = queue.waiting.iter().map(|waiting| waiting.change.merged + 1).sum();
        assert_eq!(merged, 60_000, "each one counted");
        for id in 0..1000 {
            let latest = queue.waiting.iter().rfind(|waiting| waiting.id == id).unwrap();
            assert_eq!(latest.change.restarts, 59_000 + id);
        }
    }

    #[test]
    fn of_processes_that_come_and_go_only_forgotten_ones_are_dropped() {
        let mut queue = Queue::default();
        for id in 0..1000 {
            queue.put(id, change("p", State::Exited, 0), 10);
            if id >= 5 {
                queue.forget(id);
            }
        }
        assert!(queue.waiting.len() <= 11, "{}", queue.waiting.len());
        assert_eq!(queue.waiting.len() as u64 + queue.dropped, 1000);
        assert!(
            (0..5).all(|id| queue.waiting.iter().any(|waiting| waiting.id == id)),
            "those can still be asked about"
        );
    }

    fn is_readable(changes: &Changes) -> bool {
        let mut watched = [PollFd::from_borrowed_fd(changes.descriptor().unwrap(), PollFlags::IN)];
        poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() > 0
    }

    #[test]
    fn its_descriptor_agrees_with_it_at_every_time() {
        let changes = Changes::new();
        let writer = changes.writer().upgrade().unwrap();
        writer.put(1, change("a", State::Starting, 0));
        assert!(is_readable(&changes), "also what was there before it was made");
        writer.put(1, change("a", State::Ready, 0));
        assert_eq!(changes.try_recv().unwrap().state, State::Starting);
        assert!(is_readable(&changes), "there is another");
        assert_eq!(changes.recv().state, State::Ready);
        assert!(!is_readable(&changes));
        assert!(changes.try_recv().is_none() && changes.recv_timeout(Duration::from_millis(1)).is_none());
        writer.put(1, change("a", State::Exited, 0));
        assert!(is_readable(&changes));
        assert_eq!(changes.try_iter().count(), 1);
        assert!(!is_readable(&changes));
    }

    #[test]
    fn a_dropped_future_loses_nothing_and_every_kind_of_waiting_is_woken() {
        let changes = Changes::new();
        let writer = changes.writer().upgrade().unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut changes.next()).poll(&mut cx).is_pending());
        writer.put(1, change("a", State::Starting, 0));
        writer.put(1, change("a", State::Ready, 0));
        drop(changes.next());
        assert!(matches!(Pin::new(&mut changes.next()).poll(&mut cx), Poll::Ready(it) if it.state == State::Starting));
        assert_eq!(futures::executor::block_on(changes.next()).state, State::Ready);
        let (told, tells) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| told.send(changes.recv().state));
            scope.spawn(|| told.send(futures::executor::block_on(changes.next()).state));
            writer.put(1, change("a", State::Stopping, 0));
            writer.put(1, change("a", State::Exited, 0));
            let mut states = [tells.recv().unwrap(), tells.recv().unwrap()];
            states.sort_unstable_by_key(|state| *state as u64);
            assert_eq!(states, [State::Stopping, State::Exited]);
        });
    }
}
