//! Panics: told to the parent as they happen, and as the error of the call in which they were caught.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::RefCell,
};

use super::Line;
use crate::message::{Failure, Kind};

/// Where the last panic of a thread was.
#[derive(Default)]
struct Place {
    line: String,
    trace: Option<String>,
}

thread_local! {
    static LAST: RefCell<Place> = RefCell::default();
}

/// A panic is told to the parent as it happens: what is caught is an error of one call, what isn't is how we died.
pub(super) fn tell(line: Line) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        line.say(Kind::Panic, 0, &format!("{}{place}", text(panic.payload())));
        let trace = Backtrace::capture();
        let trace = (trace.status() == BacktraceStatus::Captured).then(|| trace.to_string());
        LAST.set(Place { line: place, trace });
        usual(panic);
    }));
}

/// What a panic was that was caught on this thread just now.
pub(crate) fn failure(payload: &(dyn Any + Send)) -> Failure {
    // A handler's that isn't Rust's own: it says what it is.
    if let Some(failure) = payload.downcast_ref::<Failure>() {
        return failure.clone();
    }
    let Place { line, trace } = LAST.take();
    Failure { why: format!("it panicked: {}{line}", text(payload)), trace }
}

pub(crate) fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
