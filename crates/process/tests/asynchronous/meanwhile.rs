//! What goes on while asynchronous commands are in flight.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use process::{Process, System};

use super::{LIMIT, Test, ask, limit::start, subject::Subject, wait_until};

pub const TESTS: &[Test] = &[
    ("plain_commands_are_answered_while_calls_are_in_flight", plain_commands),
    ("calls_that_wake_themselves_all_the_time_hold_nobody_up", restless),
    ("a_flood_of_plain_commands_holds_no_call_up", a_flood),
    ("another_runtimes_futures_work", another_runtime),
    ("events_are_said_between_awaits", events),
    ("a_handler_awaits_another_process", nested),
    ("two_processes_ask_each_other", mutual),
    ("a_process_with_calls_in_flight_sleeps", it_sleeps),
    ("a_call_of_a_process_that_sleeps_wakes_one_thread_of_it", one_thread),
    ("a_call_that_is_waited_for_wakes_no_supervisor", no_supervisor),
];

fn plain_commands(system: &System) {
    let subject = start(system, "meanwhile");
    // All places taken, and some wait.
    let mut asked: Vec<_> = (0..20).map(|key| ask(subject.hold(key))).collect();
    let mut longest = Duration::ZERO;
    for number in 0..1000 {
        let begun = Instant::now();
        assert_eq!(subject.ping(number).wait().unwrap(), number);
        longest = longest.max(begun.elapsed());
    }
    println!("1,000 plain commands beside 20 asynchronous ones: the longest took {longest:?}");
    assert!(asked.iter_mut().all(|asked| asked.look().is_none()));
    subject.stop(Duration::ZERO);
}

fn restless(system: &System) {
    let subject = start(system, "meanwhile");
    let restless: Vec<_> = (0..4).map(|key| ask(subject.toss_and_turn(key))).collect();
    for number in 0..100 {
        assert_eq!(subject.ping(number).wait().unwrap(), number);
    }
    let quiet = ask(subject.hold(10));
    assert!(subject.release(10).wait().unwrap());
    assert_eq!(quiet.wait().unwrap(), 20);
    for (key, restless) in (0..).zip(restless) {
        assert!(subject.release(key).wait().unwrap());
        assert!(restless.wait().unwrap() > 1);
    }
    subject.stop(LIMIT);
}

fn a_flood(system: &System) {
    let subject = start(system, "meanwhile");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Most aren't waited for, so there are always more; every thousandth is, since beyond 4,096 they are refused.
                while !is_over.load(Ordering::Relaxed) {
                    (0..1000).for_each(|_| _ = subject.ping(1).wait_for(Duration::ZERO));
                    let _ = subject.ping(1).wait_for(LIMIT);
                }
            });
        }
        for _ in 0..20 {
            let answer = subject.nap(1).wait_for(LIMIT);
            is_over.fetch_or(answer.is_err(), Ordering::Relaxed);
            answer.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    subject.stop(LIMIT);
}

fn another_runtime(system: &System) {
    let subject = start(system, "meanwhile");
    let many = 50;
    let naps: Vec<_> = (0..many).map(|nap| ask(subject.nap(nap % 7))).collect();
    for nap in naps {
        let running = nap.wait().unwrap();
        assert!((1..=Subject::CONCURRENT_CALLS as u64).contains(&running), "{running}");
    }
    assert_eq!(subject.counts().wait().unwrap().running, 0);
    subject.stop(LIMIT);
}

fn events(system: &System) {
    let subject = start(system, "meanwhile");
    let events = subject.events::<u64>();
    subject.count(100).wait().unwrap();
    for number in 1..=100 {
        assert_eq!(events.next_for(LIMIT).unwrap(), Some(number));
    }
    subject.stop(LIMIT);
}

fn nested(system: &System) {
    let subject = start(system, "meanwhile");
    assert_eq!(subject.double_below(5, 2).wait().unwrap(), Ok(20));
    subject.stop(LIMIT);
}

fn mutual(system: &System) {
    let subject = start(system, "meanwhile");
    for key in 1..20 {
        assert_eq!(subject.converse(key).wait_for(LIMIT).unwrap(), Ok(key * 2));
    }
    subject.stop(LIMIT);
}

/// How often each thread of it has slept and been woken.
fn wake_ups(pid: i32) -> BTreeMap<String, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let count = |path: std::path::PathBuf| {
        let status = fs::read_to_string(path.join("status")).unwrap();
        let count = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap().to_owned();
        (path.display().to_string(), count)
    };
    tasks.map(|task| count(task.unwrap().path())).collect()
}

fn it_sleeps(system: &System) {
    let subject = start(system, "meanwhile");
    let asked: Vec<_> = (0..20).map(|key| ask(subject.hold(key))).collect();
    // So many in a row that it has looked for the next one, too.
    (0..1000).for_each(|number| _ = subject.ping(number).wait().unwrap());
    let pid = subject.process_id().unwrap();
    let mut before = wake_ups(pid);
    wait_until("it has gone to sleep", || {
        thread::sleep(Duration::from_millis(100)); // sleep: two looks at one moment tell nothing
        let now = wake_ups(pid);
        std::mem::replace(&mut before, now.clone()) == now
    });
    thread::sleep(Duration::from_millis(500)); // sleep: nothing may happen meanwhile
    assert_eq!(wake_ups(pid), before);
    drop(asked);
    subject.stop(LIMIT);
}

/// The event loop reads its line by itself; that its control thread needn't be woken is half of what a call takes.
fn one_thread(system: &System) {
    const CALLS: u64 = 100;
    let subject = start(system, "meanwhile");
    let pid = subject.process_id().unwrap();
    let is_control = |task: &std::path::PathBuf| fs::read_to_string(task.join("comm")).unwrap().trim() == "control";
    let mut control = None;
    wait_until("its control thread has begun, and has its name", || {
        let mut tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().map(|task| task.unwrap().path());
        control = tasks.find(is_control);
        control.is_some()
    });
    let control = control.unwrap();
    let slept = || {
        let status = fs::read_to_string(control.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let sleeps = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('S')
    };
    subject.ping(0).wait().unwrap();
    let before = slept();
    for number in 0..CALLS {
        wait_until("its event loop sleeps", sleeps);
        assert_eq!(subject.ping(number).wait().unwrap(), number);
    }
    let woken = slept() - before;
    assert!(woken < CALLS / 10, "its control thread was woken {woken} times by {CALLS} calls");
    subject.stop(LIMIT);
}

/// Whoever waits reads the answer itself; that the supervisor needn't be woken is a third of what a call took.
fn no_supervisor(system: &System) {
    const CALLS: u64 = 200;
    let subject = start(system, "meanwhile");
    let is_supervisor =
        |task: &std::path::PathBuf| fs::read_to_string(task.join("comm")).unwrap().trim() == "supervisor";
    let mut tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let supervisor = tasks.find(is_supervisor).unwrap();
    let slept = || {
        let status = fs::read_to_string(supervisor.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    subject.ping(0).wait().unwrap();
    let before = slept();
    for number in 0..CALLS {
        match number % 2 {
            0 => assert_eq!(subject.ping(number).wait().unwrap(), number),
            _ => assert_eq!(subject.ping(number).wait_for(LIMIT).unwrap(), number),
        }
    }
    let woken = slept() - before;
    assert!(woken < CALLS / 10, "the supervisor was woken {woken} times by {CALLS} calls");
    subject.stop(LIMIT);
}
