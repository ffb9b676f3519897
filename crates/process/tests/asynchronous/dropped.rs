//! Futures that are dropped before what they wait for has come leave nothing behind.

use std::{
    future::IntoFuture,
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use process::{DuringRestart, Restart, System};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    LIMIT, Test, limit,
    subject::{Config, Subject},
};

pub const TESTS: &[Test] = &[("dropped_futures_leave_no_waker_behind", wakers)];

const MANY: usize = 1000;

/// What a waker keeps: usually a task, with all that it has.
struct Task;

impl Wake for Task {
    fn wake(self: Arc<Self>) {}
}

/// Polls each once, with a waker of its own, as a task would that gives up. How many of these wakers are left.
fn left<F: Future>(futures: impl IntoIterator<Item = F>) -> usize {
    let tasks: Vec<_> = futures
        .into_iter()
        .map(|future| {
            let task = Arc::new(Task);
            let waker = Waker::from(task.clone());
            assert!(pin!(future).poll(&mut Context::from_waker(&waker)).is_pending());
            task
        })
        .collect();
    tasks.iter().filter(|task| Arc::strong_count(task) > 1).count()
}

fn wakers(system: &System) {
    let subject = limit::start(system, "dropped");
    let (events, changes) = (subject.events::<u64>(), system.changes());
    while changes.recv_timeout(std::time::Duration::from_millis(50)).is_some() {}
    assert_eq!(left((0..MANY).map(|_| subject.ended())), 0, "of its end");
    assert_eq!(left((0..MANY).map(|_| events.next())), 0, "of its events");
    assert_eq!(left((0..MANY).map(|_| changes.next())), 0, "of changes");
    let pid = Pid::from_raw(subject.process_id().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    assert_eq!(left((0..MANY).map(|number| subject.ping(number as u64).into_future())), 0, "of calls and of room");
    subject.kill();
    assert!(subject.join_for(LIMIT).is_some());
    // There is none, and there will be one.
    let restart = Restart::always().longest_delay(LIMIT);
    let spawn = system.spawn::<Subject>(Config::default()).name("dropped.down").restart(restart);
    let subject = spawn.during_restart(DuringRestart::Wait).start().unwrap();
    let changes = system.changes();
    subject.kill();
    while changes.recv_timeout(LIMIT).unwrap().state != process::State::Restarting {}
    assert_eq!(left((0..MANY).map(|number| subject.ping(number as u64).into_future())), 0, "of an incarnation");
    subject.stop(LIMIT);
}
