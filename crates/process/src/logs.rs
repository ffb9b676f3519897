//! A child's log lines, carried to the parent's log with their level, and the process's name beside them.

mod later;

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    layer,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use self::later::finish;
pub(crate) use self::later::{later, start, tell_later};
use crate::{child::Line, connection::lock, message::Kind};

/// The target of what Python's `logging` says. Its fields: `logger`, and `trace`, a traceback; what else it has is for a parent in
/// Python.
pub const PYTHON: &str = "python";

/// The target of what is said of a process, or by one, in its parent's log.
const PROCESS: &str = "process";

/// One event of a child's log. What it has beyond level, target and text is for whoever can keep it apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    level: char,
    /// Who says it, if not the one that tells: a child's child.
    #[serde(default)]
    process: Option<String>,
    /// What it is about.
    pub target: String,
    /// The message; from processes that know no better, with its fields.
    pub text: String,
    /// What else it says.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    /// Where in the source it is said.
    #[serde(default)]
    pub file: Option<String>,
    /// And in which line.
    #[serde(default)]
    pub line: Option<u32>,
    /// How many before it were lost, since the parent didn't read them in time.
    #[serde(default)]
    pub lost: u64,
}

/// Where spans are kept, made before there is a process that logs: see [`prepare`].
static PREPARED: Mutex<Option<Registry>> = Mutex::new(None);

/// Makes what [`forward`] needs in a zygote, once for all its copies: an array with a place for each of 4,096 threads, which
/// each would have to clear.
pub(crate) fn prepare() {
    *lock(&PREPARED) = Some(tracing_subscriber::registry());
}

/// Sends what this process logs to its parent.
pub(crate) fn forward(line: Line) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // What Python's logging says has passed Python's own levels, and what children say theirs.
    let filter = filter.or(filter_fn(|event| [PYTHON, PROCESS].contains(&event.target())));
    let forward = Forward { line, lost: AtomicU64::new(0) };
    // It fails only if there is a subscriber already, and then that one logs.
    let registry = lock(&PREPARED).take().unwrap_or_else(tracing_subscriber::registry);
    let _ = registry.with(forward.with_filter(filter)).try_init();
}

struct Forward {
    line: Line,
    /// How many the parent doesn't know of: nobody waits for it to listen.
    lost: AtomicU64,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let Text { message: text, mut fields } = Text::of(event);
        let metadata = event.metadata();
        let mut process = None;
        if metadata.target() == PROCESS
            && let Some(index) = fields.iter().position(|(name, _)| name == "process")
        {
            process = Some(fields.swap_remove(index).1);
        }
        let level = metadata.level().as_str().chars().next().unwrap_or('I');
        let (target, file) = (metadata.target().to_owned(), metadata.file().map(ToOwned::to_owned));
        // Relaxed: it is a number, and tells of nothing else.
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let record = match relayed() {
            // Of a child's child: as it said it.
            Some(said) => Record { process: said.process.clone().or(process), lost, ..said },
            None => Record { level, process, target, text, fields, file, line: metadata.line(), lost },
        };
        if !self.line.say(Kind::Log, 0, &record) {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

/// What an event says.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub message: String,
    pub fields: Vec<(String, String)>,
}

impl Text {
    pub(crate) fn of(event: &Event<'_>) -> Self {
        let mut text = Self::default();
        event.record(&mut text);
        text
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Writing to a String can't fail.
            "message" => _ = write!(self.message, "{value:?}"),
            name => self.fields.push((name.to_owned(), format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }
}

thread_local! {
    /// The record whose event is being told on this thread, for a layer that shows more of it than the event has.
    static RELAYED: RefCell<Option<Record>> = const { RefCell::new(None) };
    /// How often the process was restarted that this thread is busy with.
    static ABOUT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Until it is dropped, what this thread logs is about a process that was restarted so often.
pub(crate) fn about(restarts: u64) -> impl Drop {
    struct Before(Option<u64>);
    impl Drop for Before {
        fn drop(&mut self) {
            ABOUT.set(self.0);
        }
    }
    Before(ABOUT.replace(Some(restarts)))
}

/// See [`about`].
pub(crate) fn restarts() -> Option<u64> {
    ABOUT.get()
}

/// The record of which the present event tells, if it does.
#[must_use]
pub fn relayed() -> Option<Record> {
    RELAYED.with_borrow(Clone::clone)
}

impl Record {
    fn bytes(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() + self.text.len()
    }
}

/// Logs what a child has logged, [later](tell_later).
pub(crate) fn relay(process: &str, record: Record) {
    let process = process.to_owned();
    tell_later(record.bytes(), move || tell(&process, record));
}

fn tell(process: &str, record: Record) {
    if record.lost > 0 {
        tracing::warn!(target: PROCESS, process, "{} log records were dropped: they came faster than they were read", record.lost);
    }
    let (mut text, mut target) = (record.text.clone(), record.target.clone());
    let process = record.process.clone().unwrap_or_else(|| process.to_owned());
    let (is_python, is_told) = (target == PYTHON, target == PROCESS);
    let mut stream = None;
    for (name, value) in &record.fields {
        match name.as_str() {
            "stream" if is_told => stream = Some(value.clone()),
            "from" if is_told => target.clone_from(value),
            "logger" if is_python => target.clone_from(value),
            "trace" if is_python => text.extend(["\n", value]),
            _ if is_python => {}
            name => text.extend([" ", name, "=", value]),
        }
    }
    if let Some(stream) = stream {
        return tracing::info!(target: PROCESS, process, stream, "{text}");
    }
    let level = record.level;
    RELAYED.set(Some(record));
    match level {
        'E' => tracing::error!(target: PROCESS, process, from = target, "{text}"),
        'W' => tracing::warn!(target: PROCESS, process, from = target, "{text}"),
        'I' => tracing::info!(target: PROCESS, process, from = target, "{text}"),
        'D' => tracing::debug!(target: PROCESS, process, from = target, "{text}"),
        _ => tracing::trace!(target: PROCESS, process, from = target, "{text}"),
    }
    RELAYED.set(None);
}

/// Logs a line that a child wrote to its standard output or error, [later](tell_later).
pub(crate) fn output(process: &str, stream: &'static str, line: &str) {
    let (process, line) = (process.to_owned(), line.to_owned());
    tell_later(line.len(), move || tracing::event!(target: PROCESS, Level::INFO, process, stream, "{line}"));
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    /// What was told: level, text, fields, and the logger of the record that was told of.
    type Told = (Level, String, Vec<(String, String)>, Option<String>);

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Told>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
            let Text { message, fields } = Text::of(event);
            let logger = relayed().and_then(|record| record.fields.into_iter().next()).map(|(_, logger)| logger);
            self.0.lock().unwrap().push((*event.metadata().level(), message, fields, logger));
        }
    }

    fn record(target: &str, fields: &[(&str, &str)], lost: u64) -> Record {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (target, text) = (target.to_owned(), "could not".to_owned());
        Record { level: 'E', process: None, target, text, fields, file: None, line: None, lost }
    }

    fn told(record: Record) -> Vec<Told> {
        let kept = Kept::default();
        with_default(tracing_subscriber::registry().with(kept.clone()), || tell("talker", record));
        kept.0.lock().unwrap().clone()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn pythons_records_keep_logger_and_traceback_and_no_more() {
        let fields = [("logger", "app.db"), ("trace", "Traceback:\n  LookupError"), ("lineno", "7")];
        let [(level, text, fields, logger)] = &told(record(PYTHON, &fields, 0))[..] else {
            panic!("not told once");
        };
        assert_eq!((*level, text.as_str()), (Level::ERROR, "could not\nTraceback:\n  LookupError"));
        assert_eq!(*fields, pairs(&[("process", "talker"), ("from", "app.db")]));
        assert_eq!(logger.as_deref(), Some("app.db"), "a layer finds the whole record");
    }

    #[test]
    fn what_a_childs_child_says_is_its_own() {
        let inner = |record: Record| Record { process: Some("inner".to_owned()), ..record };
        let said = told(inner(record(PYTHON, &[("logger", "app.db")], 0)));
        assert_eq!(said[0].2, pairs(&[("process", "inner"), ("from", "app.db")]));
        let written = told(inner(record(PROCESS, &[("stream", "stdout")], 0)));
        assert_eq!((written[0].0, written[0].1.as_str()), (Level::INFO, "could not"));
        assert_eq!(written[0].2, pairs(&[("process", "inner"), ("stream", "stdout")]));
    }

    #[test]
    fn others_keep_target_and_fields_and_lost_ones_are_counted() {
        let told = told(record("app::db", &[("logger", "x")], 3));
        let texts: Vec<_> = told.iter().map(|(level, text, ..)| (*level, text.as_str())).collect();
        let lost = "3 log records were dropped: they came faster than they were read";
        assert_eq!(texts, [(Level::WARN, lost), (Level::ERROR, "could not logger=x")]);
        assert_eq!(told[1].2, pairs(&[("process", "talker"), ("from", "app::db")]));
        assert_eq!(told[0].3, None, "that is no record of the process's");
    }
}
