//! Pools: many tasks, a few workers, and nothing lost when one of them dies.
//!
//! Any process with [`commands`](crate::commands) can be a pool's worker: its start is the initializer, its commands are
//! the functions. What is to be done is written as a call of the worker's handle, which the pool then gives to whichever
//! worker has room:
//!
//! ```no_run
//! # use process::{BoxError, Context, Process, Program, System, commands};
//! # struct Adder;
//! # impl Process for Adder {
//! #     const KIND: &'static str = "adder";
//! #     type Config = ();
//! #     type Event = ();
//! #     fn start(_: (), _: &mut Context<Self>) -> Result<Self, BoxError> { Ok(Self) }
//! # }
//! #[commands]
//! impl Adder {
//!     /// The square, if it fits.
//!     pub fn square(&mut self, number: u64) -> Option<u64> {
//!         number.checked_mul(number)
//!     }
//!     /// The sum.
//!     pub fn add(&mut self, one: u64, other: u64) -> u64 {
//!         one + other
//!     }
//! }
//!
//! fn app(system: &System) -> Result<(), BoxError> {
//!     let pool = system.pool::<Adder>(2, |_worker| ())?; // returns when both have started
//!     // All results, in the order of the input.
//!     for square in pool.map(0..10, |worker, number| worker.square(number))? {
//!         println!("{:?}", square?);
//!     }
//!     // As they are done, from an input without end.
//!     for square in pool.imap_unordered(0.., |worker, number| worker.square(number))?.take(1000) {
//!         square?;
//!     }
//!     // A method stands for itself, with the parts of a tuple as its arguments.
//!     let sums = pool.starmap([(1, 2), (3, 4)], AdderHandle::add)?;
//!     assert!(matches!(sums[..], [Ok(3), Ok(7)]));
//!     // One task, now or later.
//!     assert_eq!(pool.apply(|worker| worker.add(1, 1))?, 2);
//!     let later = pool.apply_async(|worker| worker.add(2, 2))?;
//!     assert_eq!(later.wait()?, 4);
//!     pool.close(); // no more tasks
//!     pool.join()?; // returns when what was taken is done and the workers are gone
//!     Ok(())
//! }
//! # fn main() -> std::process::ExitCode { Program::new().process::<Adder>().run(app) }
//! ```
//!
//! # What is promised
//!
//! - **Each task that was taken has an outcome**, within whatever time its handler takes: an answer, or a [`TaskError`]
//!   that says why not. Nothing waits for ever: not for a dead worker, a closed pool or a pool that can't start workers.
//! - **A worker's death costs one task**, the one that it had begun: [`TaskError::WorkerLost`]. What it had been sent and
//!   had not begun goes to others; what it had finished counts, also if the pool hadn't heard of it yet. With
//!   [`Workers::redeliver`] the begun one is repeated too, up to a number of times; then it is a
//!   [dead letter](Pool::dead_letters).
//! - **One task's error is its own.** A `map` goes on, and its results are in order.
//! - **Memory is bounded**: inputs are read only so far [ahead](Run::ahead) of results.
//! - **Nothing is left**: when a pool is joined or dropped its workers are gone, with all their own children.
//!
//! A worker does one task at a time, also if the command is `async`: more workers are what a pool has for more at once. To
//! have many awaiting in one process, call it by its handle.
//!
//! Exactly once isn't promised, as nobody can: a worker that dies may have had its effect on the world already.
//!
//! # Differences from Python's `multiprocessing.Pool`
//!
//! Results are `Result`s one by one, where Python raises the first error. A start that fails is an error of
//! [`System::pool`], where Python starts workers for ever. Chunks needn't be chosen: a worker has up to 64 short tasks
//! before it and gives them back if it is slow. `imap` reads its input as results are taken, on the caller's thread,
//! where Python reads all of it as fast as it can. Dropping a pool terminates it, as leaving Python's `with` does.

mod batch;
mod bench;
mod desk;
mod error;
mod foreman;
mod hand;
mod imap;
mod job;
mod offer;
mod office;
mod queue;
mod rest;
mod run;
mod staff;
mod star;
mod task;
mod workers;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use shm::status::StatusPage;

pub(crate) use self::bench::Bench;
pub use self::{
    error::{PoolError, TaskError},
    imap::Imap,
    job::Job,
    office::{DeadLetter, Worker},
    run::{Progress, Run},
    star::Star,
    workers::Workers,
};
use self::{
    foreman::Foreman,
    office::{DROP_LIMIT, Office, Phase},
    rest::Rest,
    staff::Staff,
};
use crate::{
    Call, Commands, DuringRestart, Handle, Overflow, StartError, System, connection::Connection, handle::Owner,
};

/// Workers that share tasks. See the [module](self).
///
/// All methods take `&self`, and any number of threads may use a pool at once. Dropping it [terminates](Self::terminate)
/// it and waits until its workers are gone.
pub struct Pool<P: Commands> {
    office: Arc<Office>,
    /// Puts commands together; nothing is sent through it.
    stand_in: P::Handle,
    count: usize,
    thread: Option<JoinHandle<()>>,
}

impl System {
    /// Starts a pool: so many workers (a number, or [`Workers`](crate::pool::Workers) with all that can be said of them), each a
    /// `P` with the configuration that `config` gives for its seat, counted from 0. `config` is asked again whenever a
    /// worker is replaced. Returns when all are ready.
    ///
    /// # Errors
    ///
    /// [`StartError`] with the first worker that can't start, and why; none of the others is left then.
    ///
    /// ```no_run
    /// # use process::{System, BoxError, Commands, pool::Workers};
    /// # fn start<P: Commands<Config = u64>>(system: &System) -> Result<(), BoxError> {
    /// let pool = system.pool::<P>(4, |seat| seat as u64)?;
    /// let careful = system.pool::<P>(Workers::new(4).max_tasks_per_child(100), |_| 0)?;
    /// # let _ = (pool, careful);
    /// # Ok(()) }
    /// ```
    pub fn pool<P: Commands>(
        &self,
        workers: impl Into<Workers>,
        config: impl FnMut(usize) -> P::Config + Send + 'static,
    ) -> Result<Pool<P>, StartError> {
        Pool::start(self, workers.into(), Box::new(config))
    }
}

impl<P: Commands> Pool<P> {
    fn start(system: &System, workers: Workers, config: staff::Config<P>) -> Result<Self, StartError> {
        /// Pools of this process so far: two of one kind need two names.
        static POOLS: AtomicU64 = AtomicU64::new(1);
        let usual = || format!("{}.p{}", P::KIND, POOLS.fetch_add(1, Ordering::Relaxed));
        let prefix = workers.name.clone().unwrap_or_else(usual);
        let failed = |error: &dyn fmt::Display| StartError {
            name: prefix.clone(),
            why: format!("could not make what a pool needs: {error}"),
            exit: None,
        };
        let office = Arc::new(Office::new().map_err(|error| failed(&error))?);
        let epoll = Rest::epoll(&office.bell).map_err(|error| failed(&error))?;
        let status = Arc::new(StatusPage::create().map_err(|error| failed(&error))?);
        let connection = Connection::new(prefix.clone(), Overflow::default(), DuringRestart::default(), None);
        connection.detach(); // there is no process to stop when it goes
        let owner = Arc::new(Owner { system: system.clone(), id: system.next_id(), connection: connection.clone() });
        let stand_in = P::Handle::from(Handle { system: system.clone(), connection, status, owner });
        let (started, has_started) = mpsc::channel();
        let (count, deliveries) = (workers.count, workers.deliveries);
        let staff: Staff<P> = Staff::new(system.clone(), office.clone(), (workers, prefix.clone()), config, started);
        let theirs = office.clone();
        let thread = thread::Builder::new().name("pool".to_owned()).spawn(move || {
            theirs.set_thread();
            Foreman::new(theirs, staff, epoll, deliveries).run();
        });
        let thread = Some(thread.map_err(|error| failed(&error))?);
        let pool = Self { office, stand_in, count, thread };
        // The sender goes with the thread, so this ends in any case. On an error, dropping the pool tidies up.
        let ended =
            || Err(StartError { name: prefix.clone(), why: "the pool's thread has ended".to_owned(), exit: None });
        has_started.recv().unwrap_or_else(|_| ended()).map(|()| pool)
    }

    /// Does a task for each item and gives all results, in the order of the items. `make` writes the task as a call of a
    /// worker's handle; it isn't sent through that handle, so it must not be waited for.
    ///
    /// # Errors
    ///
    /// [`PoolError`] if the pool doesn't take tasks; none was begun then. What goes wrong later is in the results, of
    /// which there is one for each item in any case.
    ///
    /// # Panics
    ///
    /// If `items` or `make` does, when the tasks before are done.
    pub fn map<R, I, F>(&self, items: I, make: F) -> Result<Vec<Result<R, TaskError>>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: FnMut(&P::Handle, I::Item) -> Call<R>,
    {
        Run::new(self).map(items, make)
    }

    /// As [`map`](Self::map), giving results in order while later items are still being read and done. `items` may have
    /// no end.
    ///
    /// # Errors
    ///
    /// [`PoolError`] if the pool doesn't take tasks. If it ceases to while the items are read, that is the last result.
    pub fn imap<R, I, F>(&self, items: I, make: F) -> Result<Imap<'_, P, R, I::IntoIter, F>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: FnMut(&P::Handle, I::Item) -> Call<R>,
    {
        Run::new(self).imap(items, make)
    }

    /// As [`imap`](Self::imap), giving each result as soon as it is there.
    ///
    /// # Errors
    ///
    /// As [`imap`](Self::imap).
    pub fn imap_unordered<R, I, F>(&self, items: I, make: F) -> Result<Imap<'_, P, R, I::IntoIter, F>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: FnMut(&P::Handle, I::Item) -> Call<R>,
    {
        Run::new(self).imap_unordered(items, make)
    }

    /// As [`map`](Self::map) over tuples, whose parts are the arguments: `pool.starmap(pairs, AdderHandle::add)`. A
    /// closure is easier written for `map`, with the tuple as its second argument.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn starmap<R, I, F>(&self, items: I, make: F) -> Result<Vec<Result<R, TaskError>>, PoolError>
    where
        R: DeserializeOwned,
        I: IntoIterator,
        F: Star<P::Handle, I::Item, R>,
    {
        Run::new(self).starmap(items, make)
    }

    /// Does one task and waits for its result.
    ///
    /// # Errors
    ///
    /// See [`TaskError`].
    pub fn apply<R: DeserializeOwned>(&self, make: impl FnOnce(&P::Handle) -> Call<R>) -> Result<R, TaskError> {
        Run::new(self).apply(make)
    }

    /// Gives one task to the pool; the [`Job`] is its result to come, for blocking and for asynchronous code. The pool
    /// keeps as many as it is given: whoever gives them without end has to wait for some.
    ///
    /// # Errors
    ///
    /// [`PoolError`] if the pool doesn't take tasks.
    pub fn apply_async<R: DeserializeOwned>(
        &self,
        make: impl FnOnce(&P::Handle) -> Call<R>,
    ) -> Result<Job<R>, PoolError> {
        Run::new(self).apply_async(make)
    }

    /// See [`Run::chunk`].
    pub fn chunk(&self, items: usize) -> Run<'_, P> {
        Run::new(self).chunk(items)
    }

    /// See [`Run::priority`].
    pub fn priority(&self, priority: i32) -> Run<'_, P> {
        Run::new(self).priority(priority)
    }

    /// See [`Run::ahead`].
    pub fn ahead(&self, items: usize) -> Run<'_, P> {
        Run::new(self).ahead(items)
    }

    /// See [`Run::progress`].
    pub fn progress<'p>(&'p self, progress: impl FnMut(Progress) + 'p) -> Run<'p, P> {
        Run::new(self).progress(progress)
    }

    /// No more tasks. What was taken is done; then the workers stop. An `imap` ceases to read.
    pub fn close(&self) {
        self.office.end(PoolError::Closed);
    }

    /// Ends everything now: tasks that have no result yet get [`PoolError::Terminated`], and the workers are killed,
    /// whatever they do. [`join`](Self::join) waits until they are gone.
    pub fn terminate(&self) {
        self.office.end(PoolError::Terminated);
    }

    /// Waits until all workers are gone, after [`close`](Self::close) as long as the tasks take.
    ///
    /// # Errors
    ///
    /// [`PoolError::StillOpen`] if the pool was neither closed nor terminated, or on the pool's own thread;
    /// [`PoolError::Failed`] if the pool has failed, after its workers are gone.
    pub fn join(&self) -> Result<(), PoolError> {
        self.join_until(None).map(drop)
    }

    /// As [`join`](Self::join), but no longer than `limit`. `false` when that is over.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn join_for(&self, limit: Duration) -> Result<bool, PoolError> {
        self.join_until(Instant::now().checked_add(limit))
    }

    fn join_until(&self, end: Option<Instant>) -> Result<bool, PoolError> {
        if self.office.phase() == Phase::Open {
            return Err(PoolError::StillOpen);
        }
        let is_over = self.office.wait_over(end);
        match self.office.phase() {
            Phase::Ended(why @ PoolError::Failed { .. }) if is_over => Err(why),
            _ if is_over => Ok(true),
            _ if end.is_none() => Err(PoolError::StillOpen),
            _ => Ok(false),
        }
    }

    /// The workers that take tasks now.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        self.office.workers()
    }

    /// The tasks that were given up, and aren't in an earlier answer of this; the last 256 at most.
    #[must_use]
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.office.take_dead_letters()
    }
}

impl<P: Commands> Drop for Pool<P> {
    fn drop(&mut self) {
        self.terminate();
        let is_over = self.office.wait_over(Instant::now().checked_add(DROP_LIMIT));
        if let Some(thread) = self.thread.take().filter(|_| is_over) {
            let _ = thread.join(); // its panic was printed
        }
    }
}

impl<P: Commands> fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("workers", &self.count).finish_non_exhaustive()
    }
}
