//! What the threads say that nobody may hold up (the supervisor, a pool's, systemd's) is told on a thread of its own: whoever shows
//! it, a `tracing` subscriber of the application's, may write to a terminal that stands still or to a pipe that is full.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use super::about;

/// As much may wait; what comes then is lost, and counted. Some ten thousand lines.
const MOST_WAITING_BYTES: usize = 8 << 20;

/// What a record takes beside its text.
const RECORD_BYTES: usize = 256;

/// How long the last ones are waited for: somebody wants to go home.
const TOLD_WITHIN: Duration = Duration::from_millis(500);

/// This process's. `None`: there was no thread to be had, so all is told at once, by whoever says it.
static QUEUE: OnceLock<Option<Queue>> = OnceLock::new();

struct Queue {
    records: Sender<Work>,
    waiting_bytes: AtomicUsize,
    lost: AtomicU64,
    /// Whose thread it is: a forked child has a copy of this, and no such thread.
    process: u32,
}

enum Work {
    Tell {
        bytes: usize,
        restarts: Option<u64>,
        tell: Box<dyn FnOnce() + Send>,
    },
    /// Everything before this was told.
    Finish(Sender<()>),
}

/// As `tracing`'s own macros (`later!(warn, process = name, "could not {error}")`), but it never waits for whoever shows it.
macro_rules! later {
    ($level:ident, $($field:ident = $value:expr,)* $text:literal $(, $argument:expr)* $(,)?) => {{
        let text = format!($text $(, $argument)*);
        $(let $field = ($value).to_owned();)*
        $crate::logs::tell_later(text.len(), move || tracing::$level!($($field,)* "{text}"));
    }};
}
pub(crate) use later;

/// There is a thread from now on.
pub(crate) fn start() {
    QUEUE.get_or_init(|| {
        let (records, received) = mpsc::channel();
        thread::Builder::new().name("logs".to_owned()).spawn(move || tell(&received)).ok()?;
        let (waiting_bytes, lost) = (AtomicUsize::new(0), AtomicU64::new(0));
        Some(Queue { records, waiting_bytes, lost, process: process::id() })
    });
}

fn queue() -> Option<&'static Queue> {
    QUEUE.get()?.as_ref().filter(|queue| queue.process == process::id())
}

/// Has something told, of so many bytes, in its turn. It is about what is being logged [about](super::about) now.
pub(crate) fn tell_later(bytes: usize, tell: impl FnOnce() + Send + 'static) {
    let Some(queue) = queue() else { return tell() };
    let bytes = bytes + RECORD_BYTES;
    // Relaxed: it bounds, and tells of nothing else. One record is taken in any case.
    let before = queue.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
    let work = Work::Tell { bytes, restarts: super::restarts(), tell: Box::new(tell) };
    if (before > 0 && before.saturating_add(bytes) > MOST_WAITING_BYTES) || queue.records.send(work).is_err() {
        queue.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        queue.lost.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until what was said so far is told, for half a second at most.
pub fn finish() {
    let Some(queue) = queue() else { return };
    // SYNC POINT T, with `tell`: whoever sees that nothing waits sees what was done with it.
    if queue.waiting_bytes.load(Ordering::Acquire) == 0 && queue.lost.load(Ordering::Relaxed) == 0 {
        return;
    }
    let (told, all_told) = mpsc::channel();
    if queue.records.send(Work::Finish(told)).is_ok() {
        let _ = all_told.recv_timeout(TOLD_WITHIN); // told or not, it goes on
    }
}

fn tell(records: &Receiver<Work>) {
    for work in records {
        let Some(queue) = QUEUE.wait() else { return };
        let lost = queue.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let told = || tracing::warn!("{lost} log records were dropped: they came faster than they could be shown");
            let _ = catch_unwind(told);
        }
        match work {
            Work::Tell { bytes, restarts, tell } => {
                // A subscriber that panics has said so; there will be more to tell.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    let _about = restarts.map(about);
                    tell();
                }));
                // SYNC POINT T, with `finish`.
                queue.waiting_bytes.fetch_sub(bytes, Ordering::Release);
            }
            Work::Finish(told) => _ = told.send(()), // whoever waited may have given up
        }
    }
}
