//! Processes that have no room for what they are told.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Waker},
};

use process::CallError;
use rustix::process::{Pid, Signal, kill_process};

use super::{runner::stat, subject::SubjectHandle, wait_until};

type Begun<T> = Pin<Box<dyn Future<Output = Result<T, CallError>>>>;

/// Sends a call, and waits for nothing. `Err` if it has ended already.
fn begin<T: 'static>(
    call: impl IntoFuture<Output = Result<T, CallError>, IntoFuture: 'static>,
) -> Result<Begun<T>, ()> {
    let mut begun: Begun<T> = Box::pin(call.into_future());
    let is_pending = begun.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    is_pending.then_some(begun).ok_or(())
}

/// Stops a process by SIGSTOP.
pub fn freeze(subject: &SubjectHandle) -> Pid {
    let pid = Pid::from_raw(subject.process_id().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    wait_until("it stands still", || stat::stat(pid.as_raw_pid(), 0).as_deref() == Some("T"));
    pid
}

/// Sends calls until there is no room for another one.
pub fn fill(subject: &SubjectHandle) -> Vec<Begun<u64>> {
    (0..1000).map_while(|_| begin(subject.add(0)).ok()).collect()
}
