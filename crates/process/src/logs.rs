//! A child's log lines, carried to the parent's log with their level, and the process's name beside them.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write},
};

use serde::{Deserialize, Serialize};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{EnvFilter, Layer, layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{child::Line, message::Kind};

/// One event of a child's log. What it has beyond level, target and text is for whoever can keep it apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    level: char,
    pub target: String,
    /// The message; from processes that know no better, with its fields.
    pub text: String,
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    #[serde(default)]
    pub file: Option<String>,
    #[serde(default)]
    pub line: Option<u32>,
}

/// Sends what this process logs to its parent.
pub(crate) fn forward(line: Line) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // It fails only if there is a subscriber already, and then that one logs.
    let _ = tracing_subscriber::registry().with(Forward(line).with_filter(filter)).try_init();
}

struct Forward(Line);

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let Text { message: text, fields } = Text::of(event);
        let metadata = event.metadata();
        let level = metadata.level().as_str().chars().next().unwrap_or('I');
        let (target, file) = (metadata.target().to_owned(), metadata.file().map(ToOwned::to_owned));
        self.0.say(Kind::Log, 0, &Record { level, target, text, fields, file, line: metadata.line() });
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
pub(crate) fn relayed() -> Option<Record> {
    RELAYED.with_borrow(Clone::clone)
}

/// Logs what a child has logged.
pub(crate) fn relay(process: &str, record: Record) {
    let mut text = record.text.clone();
    for (name, value) in &record.fields {
        let _ = write!(text, " {name}={value}");
    }
    let (level, target) = (record.level, record.target.clone());
    RELAYED.set(Some(record));
    match level {
        'E' => tracing::error!(target: "process", process, from = target, "{text}"),
        'W' => tracing::warn!(target: "process", process, from = target, "{text}"),
        'I' => tracing::info!(target: "process", process, from = target, "{text}"),
        'D' => tracing::debug!(target: "process", process, from = target, "{text}"),
        _ => tracing::trace!(target: "process", process, from = target, "{text}"),
    }
    RELAYED.set(None);
}

/// Logs a line that a child wrote to its standard output or error.
pub(crate) fn output(process: &str, stream: &'static str, line: &str) {
    tracing::event!(target: "process", Level::INFO, process, stream, "{line}");
}
