//! Stops of processes that have something else to do, and how long they have for it.

use std::{
    future::{Future, IntoFuture},
    path::PathBuf,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use process::{CallError, Exit, State, System};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    LIMIT, Test,
    runner::stat,
    subject::{Config, Manner, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("stops_a_process_that_is_called_all_the_time", called_all_the_time),
    ("stops_a_process_that_had_no_room_for_it", no_room),
    ("stops_a_process_with_more_to_do_than_it_has_time_for", a_backlog),
    ("stops_after_the_calls_that_came_before", calls_before),
    ("stops_a_stop_has_nearly_all_of_its_time", nearly_all_of_its_time),
    ("stops_children_of_children_have_what_is_left_of_it", children_of_children),
];

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

fn start(system: &System, name: &str) -> SubjectHandle {
    system.spawn::<Subject>(Config::default()).name(name).start().unwrap()
}

fn mark(name: &str) -> PathBuf {
    let file = std::env::temp_dir().join(format!("framewire-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

fn called_all_the_time(system: &System) {
    let subject = start(system, "s.called");
    let goes_on = AtomicBool::new(true);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while goes_on.load(Ordering::Relaxed) {
                    subject.add(1).detach();
                }
            });
        }
        wait_until("it is busy", || subject.add(0).wait().is_ok_and(|total| total > 1000));
        subject.stop(LIMIT);
        goes_on.store(false, Ordering::Relaxed);
    });
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
}

fn no_room(system: &System) {
    let subject = start(system, "s.full");
    let pid = freeze(&subject);
    let mut calls = fill(&subject);
    thread::scope(|scope| {
        scope.spawn(|| subject.stop(LIMIT));
        wait_until("it is being stopped", || subject.state() == State::Stopping);
        kill_process(pid, Signal::CONT).unwrap();
    });
    assert_eq!(subject.exit(), Some(Exit::Code(0)), "it was asked, and not by SIGTERM");
    // Whatever has come of it, it comes.
    for call in &mut calls {
        let told = futures::executor::block_on(call);
        assert!(matches!(told, Ok(0) | Err(CallError::Died { how: Exit::Code(0), .. })), "{told:?}");
    }
}

fn a_backlog(system: &System) {
    let subject = start(system, "s.backlog");
    (0..200).for_each(|_| subject.spin(100).detach());
    let last = begin(subject.add(1)).unwrap();
    let (grace, begun) = (Duration::from_secs(4), Instant::now());
    subject.stop(grace);
    assert_eq!(subject.exit(), Some(Exit::Code(0)), "after {:?}", begun.elapsed());
    let told = futures::executor::block_on(last).unwrap_err();
    assert!(matches!(told, CallError::Died { how: Exit::Code(0), .. }), "{told}");
}

fn calls_before(system: &System) {
    let subject = start(system, "s.before");
    subject.spin(100).detach();
    let call = begin(subject.add(7)).unwrap();
    subject.stop(LIMIT);
    assert_eq!(futures::executor::block_on(call).unwrap(), 7);
    let told = subject.add(1).wait().unwrap_err();
    assert!(matches!(told, CallError::Died { how: Exit::Code(0), .. }), "{told}");
}

fn nearly_all_of_its_time(system: &System) {
    let file = mark("slow-stop");
    let config = Config { manner: Manner::StopsSlowly(4_000, file.clone()), file: None };
    let subject = system.spawn::<Subject>(config).name("s.slow").start().unwrap();
    subject.stop(Duration::from_secs(6));
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    std::fs::remove_file(file).unwrap();
}

fn children_of_children(system: &System) {
    let file = mark("slow-inner");
    let subject = start(system, "s.outer");
    subject.nest_slow(1_000, file.clone()).wait().unwrap();
    subject.stop(LIMIT);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    std::fs::remove_file(file).unwrap();
}
