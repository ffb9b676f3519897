//! How long an answer takes, in several rounds: on a loaded machine one alone says little.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use process::System;
use rustix::process::{Pid, Signal, kill_process};
use shm::{arena::Arena, lock::Lock};

use super::{
    runner::{LIMIT, stat::stat, wait_until},
    subject::{Config, Subject, SubjectHandle},
};

/// What is promised where others hang: the median of the rounds is within this.
pub const PROMISED: Duration = Duration::from_millis(100);

/// No single round takes longer, however busy the machine is.
const AT_WORST: Duration = Duration::from_secs(5);

/// So often: a median needs some, and each starts processes.
pub const ROUNDS: usize = 9;

/// Has each round measure how long it took, and asserts that this is what is promised.
pub fn answers(mut round: impl FnMut() -> Duration) {
    let mut took: Vec<Duration> = (0..ROUNDS).map(|_| round()).collect();
    took.sort_unstable();
    let (median, worst) = (took[ROUNDS / 2], took[ROUNDS - 1]);
    println!("     (answers within {median:.1?}, at worst {worst:.1?}, of {ROUNDS})");
    assert!(median <= PROMISED && worst <= AT_WORST, "{took:?}");
}

/// Kills a process with SIGKILL from outside, as a user or the kernel would, and gives the time of that.
pub fn kill(pid: i32) -> Instant {
    let now = Instant::now();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    now
}

/// Starts one. A name is free when the supervisor has heard of a death, which here is often just under way: so each is new.
pub fn start(system: &System, name: &str) -> SubjectHandle {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let name = format!("{name}.{}", STARTED.fetch_add(1, Ordering::Relaxed));
    system.spawn::<Subject>(Config).name(name).start().unwrap()
}

/// Waits until the process's own thread sleeps: in what it was just asked to wait for, if it has begun that.
pub fn until_asleep(pid: i32) {
    wait_until("it sleeps", || stat(pid, 0).as_deref() == Some("S"));
}

/// What is made once for all tests and kept (threads of ours that wait for others, descriptors) is none's fault.
pub fn warm_up(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let subject = start(system, "warm-up");
    subject.hold(Lock::create(&arena, 0).unwrap()).wait().unwrap();
    subject.stop(LIMIT);
    drop(super::pools::pool(system, 1));
}
