//! What a handle promises: CPython's scenarios for `Process`, and ours.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use process::{Exit, Handle, Limit, Restart, Spawn, State, System};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::{
    LIMIT, Test,
    calls::start,
    runner::is_gone,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("a_process_has_a_name_a_number_and_an_exit", a_process_has_a_name),
    ("a_name_is_one_living_process", names),
    ("exit_codes_are_what_the_process_said", exit_codes),
    ("terminate_kill_and_interrupt", terminate_kill_interrupt),
    ("a_start_that_cannot_have_what_it_needs_says_what", no_room),
    ("an_argument_that_is_no_text_is_the_applications", an_argument_that_is_no_text),
    ("a_join_with_no_time_only_looks", a_join_with_no_time),
    ("two_threads_join_the_same_process", two_join),
    ("a_signal_is_not_a_stop", a_signal_is_not_a_stop),
    ("an_owned_process_ends_with_its_last_handle", owned),
    ("a_detached_process_goes_on", detached),
    ("nothing_is_left_of_a_system_that_nobody_has", let_go),
    ("it_has_the_surroundings_that_were_ordered", surroundings),
    ("too_much_memory_is_its_end", too_much_memory),
    ("children_of_children_go_with_the_first", three_levels),
    ("many_start_at_once", many_start_at_once),
    ("a_spawn_from_a_thread_that_ends_lives_on", short_lived_threads),
    ("somebody_elses_wait_does_not_confuse_us", somebody_elses_wait),
];

pub fn handle(subject: &SubjectHandle) -> Handle {
    Handle::clone(subject)
}

fn a_process_has_a_name(system: &System) {
    let subject = start(system, "h.name");
    assert_eq!((subject.name(), subject.is_alive(), subject.exit()), ("h.name", true, None));
    assert_eq!((subject.state(), subject.restarts()), (State::Ready, 0));
    assert_eq!(subject.process_id(), Some(subject.pid().wait().unwrap() as i32));
    subject.stop(LIMIT);
    assert_eq!((subject.is_alive(), subject.process_id(), subject.exit()), (false, None, Some(Exit::Code(0))));
    assert_eq!(subject.join(), Exit::Code(0), "and again");
}

fn names(system: &System) {
    let spawn = || system.spawn::<Subject>(Config::default()).name("h.twice").start();
    let refused = || spawn().expect_err("the name is taken").to_string();
    let first = spawn().unwrap();
    assert!(refused().contains("there is a process of that name already"), "{}", refused());
    first.stop(LIMIT);
    let second = spawn().expect("the first one has ended");
    // Its system is told to forget the first one; the name is the second one's.
    drop(first);
    assert!(refused().contains("there is a process of that name already"), "{}", refused());
    assert_eq!(second.add(1).wait().unwrap(), 1);
    system.stop(&["h.twice"], LIMIT);
    assert!(!second.is_alive(), "it is found by the name");
    drop(second);
    spawn().expect("the name is nobody's").stop(LIMIT);
}

fn exit_codes(system: &System) {
    for code in [0, 1, 42, 255] {
        let subject = start(system, "h.code");
        subject.leave(code).detach();
        let exit = subject.join();
        assert_eq!((exit.clone(), exit.number()), (Exit::Code(code), Some(code)));
        assert_eq!(subject.last_exit().unwrap().1, ["going"], "its last lines");
    }
    let subject = start(system, "h.code");
    subject.panic_for_good().detach();
    let exit = subject.join();
    assert!(matches!(&exit, Exit::Panic(why) if why.contains("for good")), "{exit}");
}

fn terminate_kill_interrupt(system: &System) {
    for (signal, number) in [(Handle::terminate as fn(&Handle), 15), (Handle::kill, 9), (Handle::interrupt, 2)] {
        let subject = start(system, "h.signal");
        let grandchild = subject.grandchild().wait().unwrap().unwrap() as i32;
        signal(&handle(&subject));
        let exit = subject.join();
        assert_eq!((exit.clone(), exit.number()), (Exit::Signal(number), Some(-number)));
        wait_until("the rest of its group is gone", || is_gone(grandchild));
        signal(&handle(&subject)); // of one that has ended: nothing
        assert_eq!(subject.join_for(Duration::ZERO), Some(Exit::Signal(number)));
    }
}

fn no_room(system: &System) {
    let start = |spawn: Spawn<'_, Subject>| spawn.name("h.room").start().map(drop).map_err(|error| error.to_string());
    let spawn = || system.spawn::<Subject>(Config::default());
    let told = start(spawn().cpus([1024])).unwrap_err();
    assert!(told.contains("run on processor 1024: 1023 is the last one there can be"), "{told}");
    // Somewhere between too little for anything and enough there is no room for a thread's stack.
    let mut all_told = Vec::new();
    for kilobytes in (64..64 * 1024).step_by(64) {
        match start(spawn().limit(Limit::DataBytes, kilobytes << 10)) {
            Ok(()) => break,
            Err(told) => all_told.push(told),
        }
    }
    assert!(all_told.iter().any(|told| told.contains("failed: start its control thread: ")), "{all_told:#?}");
}

/// The argument that makes this program one that does nothing.
pub fn not_text() -> &'static OsStr {
    OsStr::from_bytes(b"\xff.mp4")
}

fn an_argument_that_is_no_text(_system: &System) {
    let application = Command::new("/proc/self/exe").arg(not_text()).arg("__process").output().unwrap();
    assert!(application.status.success(), "{application:?}");
}

fn a_join_with_no_time(system: &System) {
    let subject = start(system, "h.join");
    let begin = Instant::now();
    assert_eq!(subject.join_for(Duration::ZERO), None);
    assert!(begin.elapsed() < LIMIT / 2);
    assert_eq!(subject.join_for(Duration::from_millis(20)), None);
    subject.kill();
    assert_eq!(subject.join_for(LIMIT), Some(Exit::Signal(9)));
}

fn two_join(system: &System) {
    let subject = start(system, "h.two");
    std::thread::scope(|scope| {
        let joins: Vec<_> = (0..2).map(|_| scope.spawn(|| subject.join())).collect();
        subject.terminate();
        joins.into_iter().for_each(|join| assert_eq!(join.join().unwrap(), Exit::Signal(15)));
    });
}

fn a_signal_is_not_a_stop(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("h.again").restart(Restart::on_failure());
    let subject = spawn.start().unwrap();
    subject.kill();
    wait_until("it is back", || subject.restarts() == 1 && subject.state() == State::Ready);
    assert_eq!((subject.exit(), subject.last_exit().unwrap().0), (None, Exit::Signal(9)));
    subject.stop(LIMIT);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
}

fn owned(system: &System) {
    let subject = start(system, "h.owned");
    let pid = subject.process_id().unwrap();
    let other = handle(&subject);
    drop(subject);
    assert_eq!(other.join_for(Duration::from_millis(50)), None, "there is another handle");
    drop(other);
    wait_until("it is gone with the last", || is_gone(pid));
    // Its name is free as soon as it is gone, and the drop of the old handle doesn't concern the new one.
    let mut again = None;
    wait_until("its name is free", || {
        again = system.spawn::<Subject>(Config::default()).name("h.owned").start().ok();
        again.is_some()
    });
    assert!(again.unwrap().is_alive());
}

fn detached(system: &System) {
    let subject = start(system, "h.detached");
    let pid = subject.process_id().unwrap();
    subject.detach();
    drop(subject);
    std::thread::sleep(Duration::from_millis(100)); // sleep: for a stop that must not come
    assert!(!is_gone(pid));
    system.stop(&["h.detached"], LIMIT);
    assert!(is_gone(pid));
    // Nobody will ask how they ended: nothing is kept of them (the runner looks).
    for index in 0..20 {
        let subject = start(system, &format!("h.detached.{index}"));
        subject.detach();
        subject.kill();
    }
}

fn let_go(_system: &System) {
    let mut command = Command::new("sleep");
    command.arg("1000");
    for detached in [false, false, true] {
        let system = System::for_host().unwrap();
        let program = system.spawn_program(&command).start().unwrap();
        let pid = program.process_id().unwrap();
        if detached {
            program.detach();
        }
        drop(system);
        assert_eq!(program.join_for(Duration::from_millis(20)), None, "its handle is somebody's");
        drop(program);
        if detached {
            // It is supervised still, and then that is over too. (What is left otherwise, the runner finds.)
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        }
        wait_until("it is gone", || is_gone(pid));
    }
}

fn surroundings(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("h.around");
    let spawn = spawn.env("COLOUR", "green").current_dir("/").nice(5).cpus([0]).limit(Limit::OpenFiles, 333);
    let told = spawn.start().unwrap().surroundings("COLOUR".to_owned()).wait().unwrap();
    assert_eq!(told, (Some("green".to_owned()), "/".to_owned(), 5, 1, 333));
    let spawn = || system.spawn::<Subject>(Config::default()).name("h.around2");
    let path = spawn().env_remove("PATH").start().unwrap().surroundings("PATH".to_owned()).wait().unwrap().0;
    assert_eq!(path, None);
    let told = system.spawn::<Subject>(Config::default()).name("h.around3").cpus([1000]).start().unwrap_err();
    assert!(told.to_string().contains("run on processors [1000]"), "{told}");
    let told =
        system.spawn::<Subject>(Config::default()).name("h.around3").current_dir("/no/such").start().unwrap_err();
    assert!(told.to_string().contains("/no/such"), "{told}");
}

fn too_much_memory(system: &System) {
    const ALLOWED: u64 = 64 << 20;
    // A stack trace is longer than the lines that are kept of the end.
    for (at_once, backtrace) in [(false, "0"), (true, "0"), (true, "1")] {
        let spawn = system.spawn::<Subject>(Config::default()).name(format!("h.hog.{at_once}.{backtrace}"));
        let subject = spawn.env("RUST_BACKTRACE", backtrace).memory_limit(ALLOWED).start().unwrap();
        subject.take_memory(16 << 20, at_once).wait().unwrap(); // that is allowed
        subject.take_memory(2 << 30, at_once).detach();
        assert_eq!(subject.join(), Exit::OutOfMemory { limit_bytes: ALLOWED }, "at once: {at_once}");
    }
}

fn three_levels(system: &System) {
    let subject = start(system, "h.nested");
    let pids = subject.nest(3).wait().unwrap().unwrap();
    assert_eq!(pids.len(), 4);
    assert!(pids.iter().all(|pid| !is_gone(*pid as i32)));
    subject.kill();
    let begin = Instant::now();
    wait_until("all are gone", || pids.iter().all(|pid| is_gone(*pid as i32)));
    assert!(begin.elapsed() < Duration::from_secs(1));
    // And in order, too.
    let subject = start(system, "h.nested2");
    let pids = subject.nest(2).wait().unwrap().unwrap();
    subject.stop(LIMIT);
    assert_eq!(subject.exit(), Some(Exit::Code(0)));
    assert!(pids.iter().all(|pid| is_gone(*pid as i32)));
}

fn many_start_at_once(system: &System) {
    let begin = |index| system.spawn::<Subject>(Config::default()).name(format!("h.many.{index}")).begin().unwrap();
    let starting: Vec<_> = (0..20).map(begin).collect();
    let subjects: Vec<SubjectHandle> = starting.into_iter().map(|starting| starting.wait().unwrap()).collect();
    assert!(subjects.iter().all(|subject| subject.add(1).wait().unwrap() == 1));
    let begun = begin(99);
    let never = begun.handle().clone();
    drop(begun);
    drop(never); // and that was its last handle
}

/// Whoever asks for a process needn't live as long as it: the thread that really starts it does.
fn short_lived_threads(system: &System) {
    let tid = || rustix::thread::gettid().as_raw_pid();
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().file_name());
    let gone = |tid: i32| wait_until("the thread is gone", || threads().all(|task| task != *tid.to_string()));
    let (from_thread, thread) =
        std::thread::scope(|scope| scope.spawn(|| (start(system, "h.thread"), tid())).join().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let owned = system.clone();
    let spawned = async { tokio::task::spawn_blocking(move || (start(&owned, "h.tokio"), tid())).await.unwrap() };
    let (from_tokio, blocking) = runtime.block_on(spawned);
    drop(runtime);
    gone(thread);
    gone(blocking);
    // A parent-death signal would have been sent before the threads were gone.
    for subject in [&from_thread, &from_tokio] {
        assert_eq!((subject.add(1).wait().unwrap(), subject.add(1).wait().unwrap()), (1, 2));
        assert_eq!((subject.is_alive(), subject.restarts()), (true, 0));
    }
}

fn somebody_elses_wait(system: &System) {
    /// The thief's end, also if the test fails: it would take other tests' children.
    struct Enough(Arc<AtomicBool>);
    impl Drop for Enough {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let enough = Enough(Arc::new(AtomicBool::new(false)));
    let told = enough.0.clone();
    let thief = std::thread::spawn(move || {
        let mut stolen = 0;
        while !told.load(Ordering::Relaxed) {
            stolen += u32::from(matches!(wait(WaitOptions::NOHANG), Ok(Some(_))));
        }
        stolen
    });
    for round in 0..30 {
        let subject = start(system, &format!("h.stolen{round}"));
        let grandchild = subject.grandchild().wait().unwrap().unwrap() as i32;
        assert!(subject.is_alive());
        match round % 2 {
            0 => subject.leave(7).detach(),
            _ => subject.kill(),
        }
        let exit = subject.join_for(LIMIT).unwrap();
        let expected = if round % 2 == 0 { Exit::Code(7) } else { Exit::Signal(9) };
        assert!(exit == expected || exit == Exit::Unknown && !pidfds_remember(), "round {round}: {exit}");
        wait_until("what it started is gone too", || is_gone(grandchild));
    }
    drop(enough);
    println!("     (somebody else took {} of 30)", thief.join().unwrap());
}

/// Since Linux 6.15 a pidfd tells how its process ended, also after somebody took its status.
fn pidfds_remember() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}
