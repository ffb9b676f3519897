//! The results of many tasks, while their input is still being read.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;

use super::{
    PoolError, Progress, Run, TaskError,
    batch::{Batch, Wanted},
    task::{Home, Outcome, Place, Task},
};
use crate::{Call, Commands};

/// Items read ahead, for each worker: twice the largest window, so that half of them can be on their way while the other
/// half is being done.
const AHEAD_PER_WORKER: usize = 128;
/// Of large items fewer are read ahead.
const MAX_BYTES_AHEAD: usize = 64 << 20;
/// Input that takes longer for an item comes from outside (a camera, a disk): results are looked at between items.
const SLOW_ITEM: Duration = Duration::from_micros(50);
/// Otherwise no less often than this.
const READ_FOR: Duration = Duration::from_micros(200);

/// What a result has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Those of the items before it.
    AsRead,
    /// Nothing.
    AsDone,
    /// All are kept until the end, so reading needn't wait for what is taken out.
    AllAtTheEnd,
}

/// The results of an [`imap`](super::Pool::imap). The input is read by [`next`](Iterator::next), on the caller's thread,
/// between results: it needn't be `Send`, may be infinite, and is never more than a bounded number of items
/// [ahead](Run::ahead). It must not wait for a result of its own `imap`; and while it waits for a camera, say, results wait
/// too: for such sources give each item to [`apply_async`](super::Pool::apply_async). Dropping this cancels the tasks that
/// no worker has begun.
pub struct Imap<'p, P: Commands, R, I, F> {
    run: Run<'p, P>,
    input: Option<I>,
    make: F,
    order: Order,
    batch: Arc<Batch>,
    /// Results that came before those of earlier items; the first is that of item `given`. Unless ordered: as they came.
    ready: VecDeque<Option<Outcome>>,
    arrived: Vec<(u64, Outcome)>,
    read: u64,
    given: u64,
    in_flight: usize,
    /// Of the commands in flight, as many as are known by their average.
    bytes_read: u64,
    ahead: usize,
    done: u64,
    failed: u64,
    total: Option<u64>,
    is_slow: bool,
    /// Said once, after the results of all that was read.
    refused: Option<PoolError>,
    /// The input's own, or that of `make`.
    panic: Option<Box<dyn Any + Send>>,
    result: PhantomData<fn() -> R>,
}

impl<'p, P, R, I, F> Imap<'p, P, R, I, F>
where
    P: Commands,
    R: DeserializeOwned,
    I: Iterator,
    F: FnMut(&P::Handle, I::Item) -> Call<R>,
{
    pub(super) fn start(
        run: Run<'p, P>,
        items: impl IntoIterator<IntoIter = I>,
        make: F,
        order: Order,
    ) -> Result<Self, PoolError> {
        run.pool.office.check()?;
        let input = items.into_iter();
        let total = match input.size_hint() {
            (least, Some(most)) if least == most => Some(most as u64),
            _ => None,
        };
        let usual = (run.pool.count * AHEAD_PER_WORKER).max(run.pool.count * run.chunk * 2);
        let ahead = run.ahead.unwrap_or(usual);
        let mut this = Self {
            run,
            input: Some(input),
            make,
            order,
            batch: Arc::default(),
            ready: VecDeque::new(),
            arrived: Vec::new(),
            read: 0,
            given: 0,
            in_flight: 0,
            bytes_read: 0,
            ahead,
            done: 0,
            failed: 0,
            total,
            is_slow: false,
            refused: None,
            panic: None,
            result: PhantomData,
        };
        this.feed();
        Ok(this)
    }

    /// The next result, as [`next`](Iterator::next) gives it, but [`TaskError::TimedOut`] when there is none within
    /// `limit`; ask again then. The limit doesn't cover the reading of the input.
    pub fn next_for(&mut self, limit: Duration) -> Option<Result<R, TaskError>> {
        self.next_until(Instant::now().checked_add(limit))
    }

    fn next_until(&mut self, end: Option<Instant>) -> Option<Result<R, TaskError>> {
        loop {
            if self.has_ready() {
                // Reading is put off for a result that is there, unless the workers are about to run dry.
                if !self.is_slow && self.in_flight <= self.ahead / 2 {
                    self.feed();
                }
                return self.give().map(decode);
            }
            self.collect(None, None);
            if self.has_ready() {
                continue;
            }
            if self.may_read() {
                self.feed();
            } else if self.in_flight == 0 {
                if let Some(panic) = self.panic.take() {
                    resume_unwind(panic);
                }
                return self.refused.take().map(|why| Err(why.into()));
            } else {
                let item = match self.order {
                    _ if self.run.progress.is_some() => None,
                    Order::AsDone => None,
                    Order::AsRead => Some(self.given),
                    Order::AllAtTheEnd => Some(u64::MAX), // none in particular
                };
                let wanted = Wanted { item, count: self.in_flight.div_ceil(2) };
                if !self.collect(Some(wanted), end) {
                    return Some(Err(TaskError::TimedOut));
                }
            }
        }
    }

    fn has_ready(&self) -> bool {
        let first = matches!(self.ready.front(), Some(Some(_)));
        first && (self.order != Order::AllAtTheEnd || (self.in_flight == 0 && !self.may_read()))
    }

    fn may_read(&self) -> bool {
        if self.input.is_none() {
            return false;
        }
        let held = match self.order {
            Order::AllAtTheEnd => self.in_flight,
            Order::AsRead | Order::AsDone => usize::try_from(self.read - self.given).unwrap_or(usize::MAX),
        };
        let item_bytes = usize::try_from(self.bytes_read / self.read.max(1)).unwrap_or(usize::MAX);
        let least = self.run.pool.count * 2;
        held < self.ahead
            && (held < least || self.run.ahead.is_some() || held.saturating_mul(item_bytes) < MAX_BYTES_AHEAD)
    }

    /// Reads items and gives them to the pool, for a moment.
    fn feed(&mut self) {
        let begun = Instant::now();
        let mut last = begun;
        let mut tasks = Vec::new();
        while self.may_read() {
            let Some(input) = &mut self.input else { break };
            let (make, worker) = (&mut self.make, &self.run.pool.stand_in);
            // A panic of the caller's own is passed on, after the results of what was read before.
            let next = catch_unwind(AssertUnwindSafe(|| input.next().map(|item| make(worker, item).into_command())));
            let command = match next {
                Ok(Some(command)) => command,
                Ok(None) => {
                    self.input = None;
                    break;
                }
                Err(panic) => {
                    (self.input, self.panic) = (None, Some(panic));
                    break;
                }
            };
            let number = self.read;
            self.read += 1;
            self.in_flight += 1;
            let home = Home::new(Place::Batch(self.batch.clone(), number));
            match command {
                Ok(command) => {
                    self.bytes_read += command.bytes.len() as u64;
                    let joined = !number.is_multiple_of(self.run.chunk as u64);
                    tasks.push(Task { command, home, deliveries: 0, joined, priority: self.run.priority });
                    // At once: the next item may be long in coming.
                    if tasks.len() >= self.run.chunk {
                        self.submit(&mut tasks);
                    }
                }
                // It goes the usual way, or it would have to be counted in two places.
                Err(why) => drop(home.deliver(Err(TaskError::NotSent { why }))),
            }
            let now = Instant::now();
            self.is_slow = now.duration_since(last) > SLOW_ITEM;
            last = now;
            let is_whole = tasks.is_empty();
            if is_whole && (self.is_slow || now.duration_since(begun) > READ_FOR) {
                break;
            }
        }
        self.submit(&mut tasks);
    }

    fn submit(&mut self, tasks: &mut Vec<Task>) {
        if tasks.is_empty() {
            return;
        }
        if let Err(why) = self.run.pool.office.submit(tasks) {
            if self.order == Order::AllAtTheEnd {
                // A `map` has a result for each item, come what may.
                tasks.drain(..).for_each(|task| drop(task.home.deliver(Err(why.clone().into()))));
                return;
            }
            // These were never taken: not their results, but one error after all others tells of it.
            self.read -= tasks.len() as u64;
            self.in_flight -= tasks.len();
            tasks.drain(..).for_each(|task| task.home.disown());
            self.input = None;
            self.refused = Some(why);
        }
    }

    /// Puts what has arrived in its place. `false`: the limit is over.
    fn collect(&mut self, wanted: Option<Wanted>, end: Option<Instant>) -> bool {
        let mut arrived = std::mem::take(&mut self.arrived);
        let in_time = self.batch.take(&mut arrived, wanted, end);
        let any = !arrived.is_empty();
        for (item, outcome) in arrived.drain(..) {
            self.in_flight -= 1;
            self.done += 1;
            self.failed += u64::from(outcome.is_err());
            if self.order == Order::AsDone {
                self.ready.push_back(Some(outcome));
                continue;
            }
            let index = usize::try_from(item - self.given).unwrap_or(usize::MAX);
            if self.ready.len() <= index {
                self.ready.resize_with(index + 1, || None);
            }
            self.ready[index] = Some(outcome);
        }
        self.arrived = arrived;
        let (done, failed, read, total) = (self.done, self.failed, self.read, self.total);
        if any && let Some(progress) = &mut self.run.progress {
            progress(Progress { done, failed, read, total });
        }
        in_time
    }

    fn give(&mut self) -> Option<Outcome> {
        self.given += 1;
        self.ready.pop_front().flatten()
    }
}

fn decode<R: DeserializeOwned>(outcome: Outcome) -> Result<R, TaskError> {
    outcome?.decode().map_err(|error| TaskError::BadMessage { why: error.to_string() })
}

impl<P, R, I, F> Iterator for Imap<'_, P, R, I, F>
where
    P: Commands,
    R: DeserializeOwned,
    I: Iterator,
    F: FnMut(&P::Handle, I::Item) -> Call<R>,
{
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }
}

impl<P: Commands, R, I, F> Drop for Imap<'_, P, R, I, F> {
    fn drop(&mut self) {
        if self.in_flight > 0 {
            self.run.pool.office.give(super::office::Order::Cancel(Place::Batch(self.batch.clone(), 0), None));
        }
    }
}

impl<P: Commands, R, I, F> fmt::Debug for Imap<'_, P, R, I, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("read", &self.read).field("given", &self.given).finish_non_exhaustive()
    }
}
