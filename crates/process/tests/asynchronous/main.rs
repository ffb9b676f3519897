//! Asynchronous commands as an application uses them: real children, and calls in flight in them. This program is its own
//! children, so it has a `main` and no test harness.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod dropped;
mod ends;
mod heart;
mod limit;
mod meanwhile;
mod overlap;
mod pool;
mod room;
#[path = "../runner/mod.rs"]
mod runner;
mod subject;
mod wide;

use std::{
    pin::Pin,
    process::ExitCode,
    task::{Context, Poll, Waker},
};

use process::{Call, CallError, CallFuture, Program};
use runner::{LIMIT, Test, wait_until};
use serde::de::DeserializeOwned;

fn main() -> ExitCode {
    Program::new().process::<subject::Subject>().process::<wide::Wide>().run(|system| {
        limit::start(system, "warm-up");
        let light = [limit::TESTS, ends::TESTS, meanwhile::TESTS, heart::TESTS];
        runner::run(system, &[&light[..], &[overlap::TESTS, pool::TESTS, room::TESTS, dropped::TESTS]].concat())
    })
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
