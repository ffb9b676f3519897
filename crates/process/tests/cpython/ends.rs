//! How one process is given what it needs, and how it ends.

use std::time::{Duration, Instant};

use process::{Exit, Handle, State, System};

use super::{
    runner::{LIMIT, Test, wait_until},
    subject::{Arguments, Subject, start},
};

pub const TESTS: &[Test] = &[
    ("python_process", process),
    ("python_args_argument", args_argument),
    ("python_sys_exit", sys_exit),
    ("python_interrupt_and_interrupt_no_handler", interrupt),
    ("python_join_of_what_has_ended", join),
];

/// `test_process`, `test_active_children`
fn process(system: &System) {
    let names = ["one", "a longer name than the kernel keeps"];
    for name in names {
        let changes = system.changes();
        let subject = start(system, name);
        assert_eq!((subject.is_alive(), subject.exit()), (true, None));
        let (pid, parent, named, known) = subject.who().wait().unwrap();
        assert_eq!((Some(pid as i32), parent as u32), (subject.process_id(), std::process::id()));
        assert_eq!((named.as_str(), known.as_str()), (name, &name[..name.len().min(15)]));
        subject.stop(LIMIT);
        assert_eq!((subject.is_alive(), subject.exit().unwrap().number()), (false, Some(0)));
        let states: Vec<State> = changes.try_iter().map(|change| change.state).collect();
        assert_eq!(states, [State::Starting, State::Ready, State::Stopping, State::Exited]);
    }
}

/// `test_args_argument`
fn args_argument(system: &System) {
    let full = Arguments {
        number: -7,
        real: 0.1,
        text: "ħello\0".to_owned(),
        bytes: vec![0, 255, 7],
        list: vec![Some(1), None],
        named: [("a".to_owned(), (1, "b".to_owned()))].into(),
    };
    let large = Arguments { bytes: vec![3; 3_000_000], text: "x".repeat(100_000), ..full.clone() };
    for arguments in [Arguments::default(), full, large] {
        let subject = system.spawn::<Subject>(arguments.clone()).name("given").start().unwrap();
        assert!(subject.arguments().wait().unwrap() == arguments);
        subject.stop(LIMIT);
    }
}

/// `test_sys_exit`: a code, one that doesn't fit, and a reason instead of a code.
fn sys_exit(system: &System) {
    for (code, number) in [(0, 0), (1, 1), (7, 7), (255, 255), (256, 0), (-1, 255)] {
        let subject = start(system, "leaves");
        subject.sys_exit(code).detach();
        assert_eq!(subject.join().number(), Some(number), "{code}");
        assert_eq!(subject.last_exit().unwrap().1, [format!("leaving with {code}")]);
    }
    let subject = start(system, "fails");
    subject.fail("ignore this".to_owned()).detach();
    let exit = subject.join();
    assert_eq!((exit.number(), exit), (Some(1), Exit::Failed("ignore this".to_owned())));
}

/// `test_interrupt`, `test_interrupt_no_handler`: who handles it decides; who doesn't dies of it.
fn interrupt(system: &System) {
    let subject = start(system, "handles");
    subject.handle_interrupts().wait().unwrap();
    subject.interrupt();
    wait_until("it has heard of it", || subject.was_interrupted().wait().unwrap());
    assert!(subject.is_alive());
    subject.stop(LIMIT);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    let subject = start(system, "doesn't");
    subject.interrupt();
    assert_eq!(subject.join().number(), Some(-2));
}

/// `test_terminate`: `join(0)` and `join(-1)`, that is, with no time or with time that is over, and again and again.
fn join(system: &System) {
    let subject = start(system, "joined");
    let over = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    for limit in [Duration::ZERO, over.saturating_duration_since(Instant::now())] {
        let begun = Instant::now();
        assert_eq!(subject.join_for(limit), None);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    Handle::terminate(&subject);
    assert_eq!(subject.join_for(LIMIT), Some(Exit::Signal(15)));
    for limit in [Duration::ZERO, Duration::MAX] {
        assert_eq!(subject.join_for(limit), Some(Exit::Signal(15)), "and again");
    }
}
