//! Why a task has no answer, and why a pool takes none.

use crate::Exit;

/// Why a task has no answer. What a handler itself returns is an answer, also if it is an `Err`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TaskError {
    /// Its worker died while at it. The task may have had an effect; it isn't done again. No other task is concerned.
    #[error("do a task: its worker {worker} died at it ({how})")]
    WorkerLost {
        /// The worker.
        worker: String,
        /// How it ended.
        how: Exit,
    },
    /// It was given to so many workers ([`Workers::redeliver`](super::Workers::redeliver)) and each died at it. It is
    /// among the [dead letters](super::Pool::dead_letters).
    #[error("do a task: {deliveries} workers died at it, the last one so: {how}")]
    DeadLetter {
        /// How often it was begun.
        deliveries: u32,
        /// How the last worker ended.
        how: Exit,
    },
    /// The handler panicked, or its answer can't be encoded or sent. The worker lives.
    #[error("do a task: its handler failed in {worker}: {why}")]
    HandlerFailed {
        /// The worker.
        worker: String,
        /// The panic's place and message (and a backtrace if `RUST_BACKTRACE` asks for it), or what the encoder said.
        why: String,
    },
    /// The command can't be encoded or sent.
    #[error("do a task: could not {why}")]
    NotSent {
        /// What was said.
        why: String,
    },
    /// What came back isn't what was asked for.
    #[error("do a task: could not {why}")]
    BadMessage {
        /// What was said.
        why: String,
    },
    /// It was cancelled before a worker had begun it.
    #[error("do a task: it was cancelled")]
    Cancelled,
    /// There is no result within the limit. The task goes on; ask again.
    #[error("wait for a task: no result within the limit")]
    TimedOut,
    /// The pool doesn't work any more.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// Why a pool does nothing more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It was [closed](super::Pool::close): what it has taken is done, but nothing more is taken.
    #[error("use a pool: it is closed")]
    Closed,
    /// It was [terminated](super::Pool::terminate), or dropped.
    #[error("use a pool: it was terminated")]
    Terminated,
    /// Its workers can't be started any more, or die without having done anything.
    #[error("use a pool: it has failed: {cause}")]
    Failed {
        /// What the last of them said or died of.
        cause: String,
    },
    /// It must be closed or terminated before it can be joined.
    #[error("join a pool: close or terminate it first")]
    StillOpen,
}
