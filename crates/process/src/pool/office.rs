//! What a pool's users and its thread share.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        mpsc::{self, Sender},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use shm::{
    doorbell::Doorbell,
    status::{Number, StatusPage},
    wire::Packet,
};

use super::{
    PoolError,
    task::{Place, Task},
};
use crate::{Exit, connection::Life};

/// So many dead letters are kept; then the oldest go.
const MAX_DEAD_LETTERS: usize = 256;

#[derive(Debug)]
pub(super) struct Office {
    inner: Mutex<Inner>,
    /// All workers are gone.
    changed: Condvar,
    /// The pool's own.
    thread: OnceLock<ThreadId>,
    pub bell: Doorbell,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// All workers are gone.
    is_over: bool,
    /// Not taken by the pool's thread yet. Whoever gives many bounds them by what it waits for.
    tasks: Vec<Task>,
    orders: Vec<Order>,
    /// The pool's thread sleeps, so whoever orders something rings.
    asleep: bool,
    roster: Vec<(String, Arc<StatusPage>)>,
    dead_letters: VecDeque<DeadLetter>,
}

/// `Open` → `Closed` → over; from both of the former also → `Terminated` or `Failed` → over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No more is taken; what was taken is done.
    Ended(PoolError),
}

#[derive(Debug)]
pub(super) enum Order {
    /// Take back what belongs there and wasn't begun; say how many those were.
    Cancel(Place, Option<Sender<usize>>),
    /// Something happened to the worker of this number.
    Life(u64, Life),
    /// The phase has changed.
    Phase,
}

/// A task that was given up: [`Pool::dead_letters`](super::Pool::dead_letters).
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// How many workers died at it.
    pub deliveries: u32,
    /// How the last one ended.
    pub how: Exit,
    /// The task: its command decodes as the process's [`Command`](crate::Commands::Command).
    pub command: Packet,
}

/// A worker as it is now: [`Pool::workers`](super::Pool::workers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its name, unique in the system.
    pub name: String,
    /// Its process identifier, if it runs.
    pub pid: Option<i32>,
}

impl Office {
    pub(super) fn new() -> io::Result<Self> {
        let inner = Inner {
            phase: Phase::Open,
            is_over: false,
            tasks: Vec::new(),
            orders: Vec::new(),
            asleep: false,
            roster: Vec::new(),
            dead_letters: VecDeque::new(),
        };
        Ok(Self { inner: Mutex::new(inner), changed: Condvar::new(), thread: OnceLock::new(), bell: Doorbell::new()? })
    }

    /// The calling thread is the pool's.
    pub(super) fn set_thread(&self) {
        let _ = self.thread.set(thread::current().id());
    }

    /// Whether this is the pool's own thread, which must not wait for itself: what [`on_done`](super::Job::on_done) calls
    /// may do anything.
    fn is_own_thread(&self) -> bool {
        self.thread.get() == Some(&thread::current().id())
    }

    /// Gives tasks to the pool. On an error they stay where they are.
    pub(super) fn submit(&self, tasks: &mut Vec<Task>) -> Result<(), PoolError> {
        let mut inner = self.lock();
        if let Phase::Ended(why) = &inner.phase {
            return Err(why.clone());
        }
        inner.tasks.append(tasks);
        self.ring(&mut inner);
        Ok(())
    }

    /// Whether it takes tasks.
    pub(super) fn check(&self) -> Result<(), PoolError> {
        match &self.lock().phase {
            Phase::Open => Ok(()),
            Phase::Ended(why) => Err(why.clone()),
        }
    }

    /// Takes tasks back that nobody has begun; gives their number, or 0 on the pool's own thread.
    pub(super) fn cancel(&self, place: Place) -> usize {
        if self.is_own_thread() {
            self.give(Order::Cancel(place, None));
            return 0;
        }
        let (reply, taken_back) = mpsc::channel();
        self.give(Order::Cancel(place, Some(reply)));
        // An error is the pool's end: there is nothing to take back any more.
        taken_back.recv().unwrap_or(0)
    }

    pub(super) fn give(&self, order: Order) {
        let mut inner = self.lock();
        if !inner.is_over {
            self.order(&mut inner, order);
        }
    }

    fn order(&self, inner: &mut Inner, order: Order) {
        inner.orders.push(order);
        self.ring(inner);
    }

    fn ring(&self, inner: &mut Inner) {
        if std::mem::take(&mut inner.asleep) {
            self.bell.ring();
        }
    }

    /// Ends the phase in which tasks are taken. A failure isn't covered up by a later close, nor termination by either.
    pub(super) fn end(&self, why: PoolError) {
        let mut inner = self.lock();
        match (&inner.phase, &why) {
            (Phase::Open, _) | (Phase::Ended(PoolError::Closed), PoolError::Terminated | PoolError::Failed { .. }) => {
                inner.phase = Phase::Ended(why);
                self.order(&mut inner, Order::Phase);
            }
            _ => {}
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase.clone()
    }

    /// Waits until all workers are gone, at most until `end`. `false`: the limit is over, or it's the pool's own thread.
    pub(super) fn wait_over(&self, end: Option<Instant>) -> bool {
        let inner = self.lock();
        if self.is_own_thread() {
            return inner.is_over;
        }
        let inner = match end.map(|end| end.saturating_duration_since(Instant::now())) {
            None => self.changed.wait_while(inner, |inner| !inner.is_over).unwrap_or_else(PoisonError::into_inner),
            Some(left) => {
                self.changed
                    .wait_timeout_while(inner, left, |inner| !inner.is_over)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        inner.is_over
    }

    /// All that came since; tasks before orders, so that what is to be cancelled is there. The pool's thread only.
    pub(super) fn take(&self, tasks: &mut Vec<Task>, orders: &mut Vec<Order>) {
        let mut inner = self.lock();
        inner.asleep = false;
        std::mem::swap(&mut inner.tasks, tasks);
        std::mem::swap(&mut inner.orders, orders);
    }

    /// Whether the pool's thread may sleep: nothing was ordered, and whoever orders something rings from now on.
    pub(super) fn may_sleep(&self) -> bool {
        let mut inner = self.lock();
        inner.asleep = inner.orders.is_empty() && inner.tasks.is_empty();
        inner.asleep
    }

    /// The pool's thread has ended; what was still ordered is nobody's any more.
    pub(super) fn over(&self) {
        let mut inner = self.lock();
        inner.is_over = true;
        if inner.phase == Phase::Open {
            inner.phase = Phase::Ended(PoolError::Failed { cause: "its thread has ended".to_owned() });
        }
        let left = (std::mem::take(&mut inner.tasks), std::mem::take(&mut inner.orders));
        drop(inner);
        drop(left); // tasks that are dropped say so to whoever waits
        self.changed.notify_all();
    }

    pub(super) fn set_roster(&self, roster: Vec<(String, Arc<StatusPage>)>) {
        self.lock().roster = roster;
    }

    pub(super) fn workers(&self) -> Vec<Worker> {
        let workers = self.lock().roster.clone();
        let worker = |(name, status): (String, Arc<StatusPage>)| {
            let pid = i32::try_from(status.view().get(Number::Pid)).ok().filter(|pid| *pid != 0);
            Worker { name, pid }
        };
        workers.into_iter().map(worker).collect()
    }

    pub(super) fn put_dead_letter(&self, letter: DeadLetter) {
        let letters = &mut self.lock().dead_letters;
        if letters.len() == MAX_DEAD_LETTERS {
            letters.pop_front();
        }
        letters.push_back(letter);
    }

    pub(super) fn take_dead_letters(&self) -> Vec<DeadLetter> {
        self.lock().dead_letters.drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under this lock can leave it half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a pool that is dropped waits for its workers to be gone. They are killed, so only a process in the kernel's
/// hands (a dead disk) takes so long; the supervisor goes on with it.
pub(super) const DROP_LIMIT: Duration = Duration::from_secs(5);
