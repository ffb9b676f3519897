//! What processes write and what is said about them, on its way to Python's `logging`.
//!
//! The supervisor's thread says it and must not wait for the interpreter's lock, which a computing handler may hold for long.
//! So a thread of its own carries it over, from a queue that has a bound.

use std::{
    fmt::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread,
    time::Duration,
};

use process::macro_support::{PYTHON, finish_log, relayed};
use pyo3::{prelude::*, types::IntoPyDict};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// As many lines wait for the interpreter; what comes then is dropped and counted.
const MOST_WAITING: usize = 8192;

/// How long a flush takes at most: somebody wants to go home.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<SyncSender<Said>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Said {
    Line(Line),
    /// Everything before this was told.
    Flush(Sender<()>),
}

#[derive(Default)]
struct Line {
    /// Python's number.
    level: u8,
    process: Option<String>,
    stream: Option<String>,
    text: String,
    /// What a child's `logging` said, in its parts.
    record: Option<Vec<(String, String)>>,
}

/// From now on what is said goes to Python, unless this process's own parent gets it already.
pub fn forward() {
    if QUEUE.get().is_some() {
        return;
    }
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => FilterExt::boxed(filter),
        // What processes say has passed their own levels, and Python's here come yet.
        Err(_) => FilterExt::boxed(EnvFilter::new("info").or(filter_fn(|event| event.target() == "process"))),
    };
    if tracing_subscriber::registry().with(Forward.with_filter(filter)).try_init().is_err() {
        return;
    }
    let (sender, receiver) = mpsc::sync_channel(MOST_WAITING);
    if QUEUE.set(sender).is_ok() {
        // Without the thread nothing is told, and nothing else is lost.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || tell(&receiver));
    }
}

/// Waits until what was said so far has been told, for a second and a half at most.
#[pyfunction]
pub fn flush_log(py: Python<'_>) {
    let Some(queue) = QUEUE.get() else { return };
    py.detach(|| {
        finish_log();
        let (told, all_told) = mpsc::channel();
        if queue.try_send(Said::Flush(told)).is_ok() {
            let _ = all_told.recv_timeout(FLUSH_WITHIN); // told or not, it ends here
        }
    });
}

fn tell(said: &Receiver<Said>) {
    while let Ok(first) = said.recv() {
        // All that is there at once: taking the lock costs more than a line.
        let lines: Vec<Said> = std::iter::once(first).chain(said.try_iter().take(256)).collect();
        if Python::try_attach(|py| lines.into_iter().for_each(|said| tell_one(py, said))).is_none() {
            return; // the interpreter is going down
        }
    }
}

fn tell_one(py: Python<'_>, said: Said) {
    let Line { level, process, stream, text, record } = match said {
        Said::Line(line) => line,
        Said::Flush(told) => {
            let _ = told.send(());
            return;
        }
    };
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    let told = py.import("framewire._log").and_then(|module| {
        let record = record.map(|record| record.into_py_dict(py)).transpose()?;
        module.call_method1("write", (level, process, stream, text, dropped, record))
    });
    if let Err(error) = told {
        error.write_unraisable(py, None);
    }
}

struct Forward;

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        let mut line = Line { level, ..Line::default() };
        event.record(&mut line);
        // Of what a child's logging says there is more than the event tells.
        if let Some(record) = relayed().filter(|record| record.target == PYTHON && !record.fields.is_empty()) {
            line.text = record.text;
            line.record = Some(record.fields);
        }
        if let Some(queue) = QUEUE.get()
            && queue.try_send(Said::Line(line)).is_err()
        {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "process" | "worker" => self.process = Some(value.to_owned()),
            "stream" => self.stream = Some(value.to_owned()),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String can't fail.
        let _ = match field.name() {
            "message" => write!(self.text, "{value:?}"),
            "process" | "worker" => write!(self.process.insert(String::new()), "{value:?}"),
            name => write!(self.text, " {name}={value:?}"),
        };
    }
}
