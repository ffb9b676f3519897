//! A child's log lines, carried to the parent's log with their level, and the process's name beside them.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{EnvFilter, Layer, layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{child::Line, message::Kind};

/// One event of a child's log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    level: char,
    target: String,
    text: String,
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
        let mut text = Text::default();
        event.record(&mut text);
        let level = event.metadata().level().as_str().chars().next().unwrap_or('I');
        let target = event.metadata().target().to_owned();
        self.0.say(Kind::Log, 0, &Record { level, target, text: text.message + &text.fields });
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String can't fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Logs what a child has logged.
pub(crate) fn relay(process: &str, record: &Record) {
    let Record { level, target, text } = record;
    match level {
        'E' => tracing::error!(target: "process", process, from = target, "{text}"),
        'W' => tracing::warn!(target: "process", process, from = target, "{text}"),
        'I' => tracing::info!(target: "process", process, from = target, "{text}"),
        'D' => tracing::debug!(target: "process", process, from = target, "{text}"),
        _ => tracing::trace!(target: "process", process, from = target, "{text}"),
    }
}

/// Logs a line that a child wrote to its standard output or error.
pub(crate) fn output(process: &str, stream: &'static str, line: &str) {
    tracing::event!(target: "process", Level::INFO, process, stream, "{line}");
}
