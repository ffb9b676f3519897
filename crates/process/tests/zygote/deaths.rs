//! The zygote dies, stops, or loses its application.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use process::{BoxError, Exit, State, System};
use rustix::process::{Pid, Signal, kill_process};
use shm::{arena::Arena, lock::Lock};

use super::{
    LIMIT, Test,
    runner::{children, is_gone},
    seen::{is_copy, is_reaped, log, our_zygote, pid, start, start_somehow, zygotes},
    subject::{Config, Subject},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("its_death_harms_nobody_and_there_is_a_new_one", its_death_harms_nobody),
    ("killed_at_any_instant_it_leaves_nobody_behind", killed_at_any_instant),
    ("one_that_is_stopped_stops_nobody", one_that_is_stopped),
    ("it_ends_with_its_application_however_that_ends", it_ends_with_its_application),
];

pub fn send(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn its_death_harms_nobody(system: &System) {
    let workers: Vec<_> = (0..20).map(|index| start(system, &format!("d.{index}"))).collect();
    let working: Vec<_> = workers.iter().map(|worker| worker.in_threads(4)).collect();
    let zygote = our_zygote();
    send(zygote, Signal::KILL);
    wait_until("it is gone", || is_gone(zygote));
    assert!(working.into_iter().all(|call| call.wait().unwrap() == 6));
    let next = start(system, "d.next");
    assert!(is_copy(pid(&next)) && our_zygote() != zygote && is_reaped(zygote));
    for (code, worker) in workers.iter().enumerate() {
        assert_eq!((worker.state(), worker.restarts()), (State::Ready, 0));
        worker.leave(code as i32).detach();
        assert_eq!(worker.join_for(LIMIT), Some(Exit::Code(code as i32)));
    }
}

/// A child that was made, but whose making nobody was told of, doesn't begin, and is no zombie.
fn killed_at_any_instant(system: &System) {
    let arena = Arena::create(1 << 16).unwrap();
    let begun = Lock::create(&arena, 0_u64).unwrap();
    let enough = AtomicBool::new(false);
    let (mut started, mut copies) = (0, 0);
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let (mut killed, own) = (0_u64, std::process::id() as i32);
            while !enough.load(Ordering::Relaxed) {
                for zygote in zygotes(own) {
                    // Now and then at its start, after which there is none for a while; mostly while it makes children.
                    let late = if killed % 20 == 19 { 0 } else { 10_000 };
                    let busy = Instant::now() + Duration::from_micros(late + killed * 613 % 5000);
                    while Instant::now() < busy {
                        std::hint::spin_loop();
                    }
                    send(zygote, Signal::KILL);
                    killed += 1;
                }
            }
            killed
        });
        // Also if a test fails here: the scope waits for the killer.
        let enough = Until(&enough);
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            let config = Config { begun: Some(begun.clone()), ..Config::default() };
            let subject = system.spawn::<Subject>(config).name("d.any").start().unwrap();
            started += 1;
            copies += u64::from(is_copy(pid(&subject)));
            subject.kill();
            assert_eq!(subject.join_for(LIMIT), Some(Exit::Signal(9)));
        }
        drop(enough);
        let killed = killer.join().unwrap();
        println!("     ({killed} zygotes killed, {copies} of {started} children were copies)");
        assert!(killed > 0 && copies > 0);
    });
    assert_eq!(*begun.lock().or_else(shm::lock::LockError::into_guard).unwrap(), started, "only known ones have begun");
    let own = std::process::id() as i32;
    wait_until("nobody is left but a zygote, and with the next child that is a new one", || {
        start_somehow(system, "d.last").stop(LIMIT);
        children(own) == zygotes(own) && zygotes(own).len() == 1
    });
}

/// Says that it is enough when it goes.
struct Until<'a>(&'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn one_that_is_stopped(system: &System) {
    let before = start(system, "d.before");
    let zygote = our_zygote();
    send(zygote, Signal::STOP);
    let begin = Instant::now();
    let subject = start_somehow(system, "d.by_exec");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(!is_copy(pid(&subject)), "by exec");
    wait_until("it is said", || log().contains("the zygote doesn't answer"));
    assert_eq!((before.half(2).wait().unwrap(), subject.half(2).wait().unwrap()), (1, 1));
    wait_until("and so it is no more", || {
        start_somehow(system, "d.wait").stop(LIMIT);
        is_reaped(zygote)
    });
    start(system, "d.again").stop(LIMIT); // after a while there is another
}

/// The argument that makes this program an application to be killed.
pub const APPLICATION: &str = "application";

/// Starts an idle and a stopped child, says who they and the zygote are, and waits to be killed, or ends.
pub fn application(system: &System) -> Result<(), BoxError> {
    let children = ["idle", "stopped"].map(|name| start(system, name));
    let zygote = our_zygote();
    send(pid(&children[1]), Signal::STOP);
    println!("{} {} {zygote}", pid(&children[0]), pid(&children[1]));
    if std::env::args().nth(2).as_deref() == Some("ends") {
        return Ok(());
    }
    loop {
        std::thread::park();
    }
}

fn it_ends_with_its_application(_system: &System) {
    for how in ["ends", "is killed", "is killed with a stopped zygote"] {
        let mut application = Command::new("/proc/self/exe");
        let mut application = application.args([APPLICATION, how]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(application.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pids: Vec<i32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        assert_eq!(pids.len(), 3, "{line:?}");
        if how.contains("stopped") {
            send(pids[2], Signal::STOP);
        }
        if how != "ends" {
            assert!(pids.iter().all(|pid| !is_gone(*pid)));
            application.kill().unwrap();
        }
        let status = application.wait().unwrap();
        assert_eq!(status.success(), how == "ends", "{status}");
        let begin = Instant::now();
        wait_until("all are gone", || pids.iter().all(|pid| is_gone(*pid)));
        if how == "ends" {
            assert!(begin.elapsed() < Duration::from_secs(1));
        }
        println!("     (an application that {how}: all gone {:.1} ms after it)", begin.elapsed().as_secs_f64() * 1e3);
    }
}
