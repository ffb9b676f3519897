//! Asynchronous commands as an application uses them: real children, and calls in flight in them. This program is its own
//! children, so it has a `main` and no test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod ends;
mod heart;
mod limit;
mod meanwhile;
mod overlap;
mod pool;
mod subject;
mod wide;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use process::{BoxError, Call, CallError, CallFuture, Program, System};
use serde::de::DeserializeOwned;

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(30);

type Test = (&'static str, fn(&System));

fn main() -> ExitCode {
    Program::new().process::<subject::Subject>().process::<wide::Wide>().run(|system| {
        let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
        let tests = [limit::TESTS, ends::TESTS, meanwhile::TESTS, heart::TESTS, overlap::TESTS, pool::TESTS].concat();
        let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
        run(system, tests.into_iter().filter(|(name, _)| chosen(name)))
    })
}

fn run(system: &System, tests: impl Iterator<Item = Test>) -> Result<(), BoxError> {
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        let begun = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(|| test(system))).is_ok();
        println!("test {name} ... {} ({:.1} s)", if ok { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
        *(if ok { &mut passed } else { &mut failed }) += 1;
    }
    println!("\n{passed} passed, {failed} failed");
    if failed == 0 { Ok(()) } else { Err("pass all tests".into()) }
}

/// Waits for a condition, within the limit.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {LIMIT:?}");
        std::thread::yield_now();
    }
}

/// A call in flight.
pub struct Asked<R: DeserializeOwned>(Pin<Box<CallFuture<R>>>);

/// Puts a call, without waiting for its answer.
pub fn ask<R: DeserializeOwned>(call: Call<R>) -> Asked<R> {
    let mut asked = Asked::new(call);
    let early = asked.look();
    assert!(early.is_none(), "it is answered, or failed, at once: {:?}", early.map(|early| early.map(drop)));
    asked
}

impl<R: DeserializeOwned> Asked<R> {
    /// It is put when it is looked at first.
    pub fn new(call: Call<R>) -> Self {
        Self(Box::pin(call.into_future()))
    }

    /// Its answer, if it is there.
    pub fn look(&mut self) -> Option<Result<R, CallError>> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// Waits for it.
    pub fn wait(self) -> Result<R, CallError> {
        futures::executor::block_on(self.0)
    }
}
