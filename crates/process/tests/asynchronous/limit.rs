//! How many run at once, and what becomes of the others.

use process::{CallError, Process, System};

use super::{
    LIMIT, Test, ask,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("as_many_run_at_once_as_are_allowed_and_the_others_begin_in_order", as_many_run_at_once),
    ("a_call_that_is_cancelled_while_it_waits_never_begins", cancelled_while_it_waits),
    ("too_many_that_wait_are_refused_and_plain_commands_are_not", too_many_are_refused),
];

const AT_ONCE: u64 = Subject::CONCURRENT_CALLS as u64;

pub fn start(system: &System, name: &str) -> SubjectHandle {
    system.spawn::<Subject>(Config::default()).name(name).start().unwrap()
}

fn as_many_run_at_once(system: &System) {
    let subject = start(system, "limit");
    let mut asked: Vec<_> = (0..100).map(|key| ask(subject.hold(key))).collect();
    for ended in 0..100 {
        let begun = (ended + AT_ONCE).min(100);
        wait_until("the next has begun", || {
            let counts = subject.counts().wait().unwrap();
            assert!(counts.begun.iter().copied().eq(0..counts.begun.len() as u64), "in order: {counts:?}");
            assert!(counts.running as u64 <= AT_ONCE && counts.begun.len() as u64 <= begun, "{counts:?}");
            counts.running as u64 == begun - ended
        });
        assert!(asked[0].look().is_none(), "nobody has released {ended}");
        assert!(subject.release(ended).wait().unwrap());
        assert_eq!(asked.remove(0).wait().unwrap(), ended * 2);
    }
    let counts = subject.counts().wait().unwrap();
    assert_eq!((counts.running, counts.most), (0, Subject::CONCURRENT_CALLS));
    subject.stop(LIMIT);
}

fn cancelled_while_it_waits(system: &System) {
    let subject = start(system, "limit");
    let running: Vec<_> = (0..AT_ONCE).map(|key| ask(subject.hold(key))).collect();
    let waiting = ask(subject.hold(100));
    let next = ask(subject.hold(101));
    assert_eq!(subject.counts().wait().unwrap().running as u64, AT_ONCE);
    drop(waiting);
    drop(running); // their places are free
    wait_until("the next has begun", || subject.counts().wait().unwrap().begun.contains(&101));
    assert!(subject.release(101).wait().unwrap());
    assert_eq!(next.wait().unwrap(), 202);
    let counts = subject.counts().wait().unwrap();
    assert!(!counts.begun.contains(&100) && counts.running == 0, "{counts:?}");
    subject.stop(LIMIT);
}

fn too_many_are_refused(system: &System) {
    let subject = start(system, "limit");
    let mut asked: Vec<_> = (0..AT_ONCE + 4096)
        .map(|key| {
            if key % 100 == 0 {
                subject.ping(key).wait().unwrap(); // it has read all before this
            }
            ask(subject.hold(key))
        })
        .collect();
    assert_eq!(subject.counts().wait().unwrap().running as u64, AT_ONCE);
    let told = subject.hold(9999).wait().unwrap_err();
    assert!(matches!(&told, CallError::HandlerFailed { why, .. } if why.contains("4096 calls wait already")), "{told}");
    assert!(subject.release(0).wait().unwrap(), "what makes room gets through");
    assert_eq!(asked.remove(0).wait().unwrap(), 0);
    let last = ask(subject.hold(10_000));
    drop(asked);
    wait_until("only the last is left", || subject.counts().wait().unwrap().running == 1);
    assert!(subject.release(10_000).wait().unwrap());
    assert_eq!(last.wait().unwrap(), 20_000);
    subject.stop(LIMIT);
}
