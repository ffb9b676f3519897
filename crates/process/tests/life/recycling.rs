//! Planned replacement: the new one first.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use process::{
    CallError, Change, Due, Exit, Group, Overflow, Recycle, Replacement, Restart, Select, State, Strategy, System,
};
use rustix::process::{Pid, Signal, kill_process};
use shm::status::Number;

use super::{
    LIMIT, Test,
    runner::is_gone,
    subject::{Config, Manner, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("recycling_after_calls_loses_none_of_them", after_calls),
    ("recycling_lets_the_old_one_finish", the_old_one_finishes),
    ("recycling_is_told_step_by_step", told),
    ("recycling_after_a_time_and_above_memory", time_and_memory),
    ("recycling_a_replacement_that_fails_leaves_the_old_one_at_work", a_replacement_that_fails),
    ("recycling_each_incarnation_has_its_own_half_of_the_page", the_page),
    ("recycling_old_one_killed_while_the_new_one_comes", old_killed_before),
    ("recycling_old_one_killed_while_it_finishes", old_killed_after),
    ("recycling_new_one_killed_while_the_old_one_finishes", new_killed_after),
    ("recycling_killed_at_any_moment_nothing_else_is_lost", killed_at_random),
    ("recycling_a_stop_takes_both_along", a_stop),
    ("recycling_in_a_group_concerns_the_member_alone", in_a_group),
    ("recycling_in_a_group_that_is_restarted_meanwhile", in_a_group_that_restarts),
    ("recycling_events_that_must_not_be_lost_go_on", events),
    ("recycling_a_foreign_program", foreign),
    ("recycling_again_and_again_leaves_nothing", leaves_nothing),
];

fn spawn(system: &System, name: &str, config: Config, policy: Recycle) -> SubjectHandle {
    spawn_in(None, system, name, config, policy)
}

fn spawn_in(group: Option<&Group>, system: &System, name: &str, config: Config, policy: Recycle) -> SubjectHandle {
    let policy_of_restart = Restart::always().at_most(1000).longest_delay(Duration::from_millis(5));
    let spawn = system.spawn::<Subject>(config).name(name).restart(policy_of_restart).recycle(policy);
    group.into_iter().fold(spawn, |spawn, group| spawn.in_group(group)).start().unwrap()
}

fn pid(subject: &SubjectHandle) -> i32 {
    subject.process_id().unwrap()
}

fn kill(pid: i32) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
}

/// Until it was replaced so often, and the last one replaced is gone.
fn until_recycled(subject: &SubjectHandle, times: u64, old: i32) {
    wait_until("it is replaced", || subject.recycled() >= times && is_gone(old) && subject.last_exit().is_some());
}

/// Four callers, thousands of calls, a new incarnation all the time: each call is answered, and none fails.
fn after_calls(system: &System) {
    let subject = spawn(system, "r.calls", Config::default(), Recycle::after_calls(50));
    let (answered, pids) = (AtomicU64::new(0), std::sync::Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while subject.recycled() < 5 {
                    let pid = subject.pid().wait_for(LIMIT).unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                    pids.lock().unwrap().insert(pid);
                    subject.add(1).detach();
                }
            });
        }
    });
    let (answered, pids) = (answered.into_inner(), pids.into_inner().unwrap());
    assert!(pids.len() >= 5, "{} incarnations answered {answered} calls", pids.len());
    assert_eq!((subject.restarts(), subject.state()), (0, State::Ready));
    println!("     ({answered} calls answered by {} incarnations)", pids.len());
    subject.stop(LIMIT);
    assert!(pids.iter().all(|pid| is_gone(*pid as i32)));
}

fn the_old_one_finishes(system: &System) {
    let subject = spawn(system, "r.finish", Config::default(), Recycle::after_calls(1));
    let old = pid(&subject);
    let mut select = Select::new().unwrap();
    // Both are in its queue; the first answer makes it due, the second comes a second later.
    let (first, second) = (select.call(subject.pid()), select.call(subject.work(1000)));
    let third = select.call(subject.pid());
    wait_until("another is at work", || pid(&subject) != old);
    assert_ne!(subject.pid().wait().unwrap() as i32, old, "new calls go to the new one");
    assert!(!is_gone(old), "it has calls still");
    let mut waits = BTreeSet::from([first.key(), second.key(), third.key()]);
    while !waits.is_empty() {
        select.wait(LIMIT).unwrap().unwrap().iter().for_each(|key| _ = waits.remove(key));
    }
    assert_eq!(select.answer(&first).unwrap().unwrap() as i32, old);
    assert!(select.answer(&second).unwrap().is_ok());
    assert_eq!(select.answer(&third).unwrap().unwrap() as i32, old);
    wait_until("it is gone", || is_gone(old));
    subject.stop(LIMIT);
    // One that never finishes has a limit.
    let limit = Recycle::after_calls(1).finish_within(Duration::from_millis(100));
    let (begin, (subject, old, _)) = (Instant::now(), with_both(system, "r.limit", false, limit));
    wait_until("it is gone", || is_gone(old) && subject.last_exit().is_some());
    assert!(begin.elapsed() >= Duration::from_millis(100));
    // It was asked, then told by SIGTERM.
    assert_eq!((subject.last_exit().unwrap().0, subject.state()), (Exit::Signal(15), State::Ready));
}

fn told(system: &System) {
    let changes = system.changes();
    let subject = spawn(system, "r.told", Config::default(), Recycle::after_calls(3));
    let old = pid(&subject);
    (0..3).for_each(|_| _ = subject.add(1).wait().unwrap());
    until_recycled(&subject, 1, old);
    let of_it = |change: &Change| change.name == "r.told";
    let is_last = |change: &Change| matches!(change.replacement, Some(Replacement::PredecessorEnded(_)));
    let mut told: Vec<Change> = Vec::new();
    while !told.last().is_some_and(is_last) {
        told.extend(changes.recv_timeout(LIMIT).filter(of_it));
    }
    let steps: Vec<_> = told.iter().map(|change| (change.state, change.replacement.clone(), change.recycled)).collect();
    use Replacement::*;
    assert_eq!(
        steps,
        [
            (State::Starting, None, 0),
            (State::Ready, None, 0),
            (State::Ready, Some(Starting(Due::Calls(3))), 0),
            (State::Ready, Some(TookOver), 1),
            (State::Ready, Some(PredecessorEnded(Exit::Code(0))), 1),
        ]
    );
    let pids: Vec<_> = told[1..].iter().map(|change| change.pid.unwrap()).collect();
    assert_eq!(pids, [old, old, pid(&subject), pid(&subject)]);
    assert_eq!(subject.last_exit().unwrap().0, Exit::Code(0));
    assert_eq!(subject.exit(), None);
}

fn time_and_memory(system: &System) {
    let begin = Instant::now();
    let subject = spawn(system, "r.time", Config::default(), Recycle::after(Duration::from_millis(100)));
    let old = pid(&subject);
    until_recycled(&subject, 2, old);
    assert!(begin.elapsed() >= Duration::from_millis(180));
    drop(subject);
    let subject = spawn(system, "r.memory", Config::default(), Recycle::above_memory(60 << 20));
    let old = pid(&subject);
    subject.take_memory(40 << 20, true).wait().unwrap();
    std::thread::sleep(Duration::from_millis(600)); // sleep: long enough for two looks at it
    assert_eq!(subject.recycled(), 0);
    subject.take_memory(40 << 20, true).wait().unwrap();
    until_recycled(&subject, 1, old);
    assert_eq!((subject.restarts(), subject.last_exit().unwrap().0), (0, Exit::Code(0)));
}

fn a_replacement_that_fails(system: &System) {
    let marker = std::env::temp_dir().join(format!("framewire-no-start-{}", std::process::id()));
    let config = Config { manner: Manner::FailsWhileThere(marker.clone()), file: None };
    let changes = system.changes();
    let subject = spawn(system, "r.fails", config, Recycle::after_calls(1));
    std::fs::write(&marker, "").unwrap();
    let old = pid(&subject);
    subject.add(1).wait().unwrap();
    let mut failed: Vec<Change> = Vec::new();
    while failed.len() < 3 {
        let change = changes.recv_timeout(LIMIT).unwrap();
        let is_failure = matches!(change.replacement, Some(Replacement::NotReady(_)));
        failed.extend(Some(change).filter(|_| is_failure));
        assert_eq!(subject.pid().wait().unwrap() as i32, old, "it goes on itself");
    }
    for change in &failed {
        assert_eq!((change.state, change.pid, &change.exit), (State::Ready, Some(old), &None));
        let Some(Replacement::NotReady(Exit::Failed(why))) = &change.replacement else { panic!("{change:?}") };
        assert!(why.contains("not yet"), "{why}");
    }
    let delays: Vec<Duration> = failed.iter().map(|change| change.delay.unwrap()).collect();
    assert!(delays.is_sorted() && delays[2] > delays[0] * 2, "{delays:?}");
    assert_eq!((subject.restarts(), subject.recycled()), (0, 0));
    std::fs::remove_file(&marker).unwrap();
    until_recycled(&subject, 1, old);
}

fn the_page(system: &System) {
    let (subject, old, new) = with_both(system, "r.page", false, Recycle::after_calls(1));
    let page = subject.status().view();
    wait_until("the page says so too", || page.get(Number::Pid) == new as u64);
    assert_eq!(page.get(Number::FramesIn), 0, "it begins anew");
    std::fs::write(marker("r.page"), "").unwrap(); // it isn't replaced in its turn
    subject.frames(5).wait().unwrap();
    // The old one counts on, where nobody looks.
    let end = Instant::now() + Duration::from_millis(50);
    while Instant::now() < end {
        assert_eq!(page.get(Number::FramesIn), 5);
    }
    kill(old);
    wait_until("its end is known", || subject.last_exit().is_some());
    assert_eq!((page.get(Number::FramesIn), page.get(Number::Pid)), (5, new as u64));
    subject.stop(LIMIT);
    wait_until("the page says so too", || page.get(Number::Pid) == 0);
    std::fs::remove_file(marker("r.page")).unwrap();
}

/// The file during which a subject of this name takes its time to start.
fn marker(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("framewire-wait-{name}-{}", std::process::id()))
}

/// A subject that was told to be replaced by one that takes its time, and the identifiers of both.
fn with_both(system: &System, name: &str, while_coming: bool, policy: Recycle) -> (SubjectHandle, i32, i32) {
    with_both_in(None, system, name, while_coming, policy)
}

fn with_both_in(
    group: Option<&Group>,
    system: &System,
    name: &str,
    while_coming: bool,
    policy: Recycle,
) -> (SubjectHandle, i32, i32) {
    let marker = marker(name);
    let config = Config { manner: Manner::WaitsWhileThere(marker.clone()), file: None };
    let changes = system.changes();
    let subject = spawn_in(group, system, name, config, policy);
    std::fs::write(&marker, "").unwrap();
    let old = pid(&subject);
    subject.add(1).wait().unwrap();
    let is_coming =
        |change: &Change| change.name == name && matches!(change.replacement, Some(Replacement::Starting(_)));
    while !changes.recv_timeout(LIMIT).as_ref().is_some_and(is_coming) {}
    let new = wait_for_child_beside(old);
    if !while_coming {
        // It keeps the old one busy beyond its replacement.
        let taken = || subject.status().view().get(Number::CallsTaken);
        let (busy, before) = (subject.clone(), taken());
        std::thread::spawn(move || busy.count_frames(600_000).wait());
        wait_until("the call is there", || taken() > before);
        std::fs::remove_file(&marker).unwrap();
        wait_until("the new one is at work", || pid(&subject) == new);
        assert!(!is_gone(old));
    }
    (subject, old, new)
}

/// The child of this process that is named as `other` is and isn't it.
fn wait_for_child_beside(other: i32) -> i32 {
    let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let wanted = name(other);
    let mut found = None;
    wait_until("there is another", || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        found = pids.find(|pid| *pid != other && name(*pid) == wanted && !is_gone(*pid));
        found.is_some()
    });
    found.unwrap()
}

fn old_killed_before(system: &System) {
    let (subject, old, new) = with_both(system, "r.k1", true, Recycle::after_calls(1));
    kill(old);
    wait_until("its end is known", || subject.restarts() == 1);
    assert_eq!(subject.last_exit().unwrap().0, Exit::Signal(9));
    std::fs::remove_file(marker("r.k1")).unwrap();
    wait_until("it is ready", || subject.state() == State::Ready);
    assert_eq!(subject.pid().wait().unwrap() as i32, new, "what was to be its replacement is its restart");
}

fn old_killed_after(system: &System) {
    let (subject, old, new) = with_both(system, "r.k2", false, Recycle::after_calls(1));
    let begin = Instant::now();
    kill(old);
    wait_until("its end is known", || {
        subject.last_exit().is_some_and(|(exit, _)| exit == Exit::Signal(9)) && is_gone(old)
    });
    println!("     (known after {:.1?})", begin.elapsed());
    assert_eq!((subject.restarts(), subject.recycled(), subject.state()), (0, 1, State::Ready));
    assert_eq!(pid(&subject), new);
}

fn new_killed_after(system: &System) {
    let (subject, old, new) = with_both(system, "r.k3", false, Recycle::after_calls(1));
    kill(new);
    wait_until("it is started again", || subject.restarts() == 1 && subject.state() == State::Ready);
    assert!(!is_gone(old), "it has a call to finish");
    let third = subject.pid().wait().unwrap() as i32;
    assert!(third != new && third != old);
    kill(old);
    wait_until("the old one is gone", || is_gone(old));
    // That answer made the third due; whoever is at work answers.
    subject.pid().wait_for(LIMIT).unwrap();
    assert_eq!(subject.restarts(), 1);
}

/// Replaced all the time, and killed all the time: a call fails only by the death of whoever has it, and all calls end.
fn killed_at_random(system: &System) {
    let subject = spawn(system, "r.k4", Config::default(), Recycle::after_calls(5));
    let over = AtomicBool::new(false);
    let (answered, died, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let mut kills = 0;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let count = match subject.pid().wait_for(LIMIT) {
                        Ok(_) => &answered,
                        Err(CallError::Died { how: Exit::Signal(9) | Exit::LostBeforeReady(_), .. }) => {
                            std::thread::yield_now();
                            &died
                        }
                        Err(CallError::NotRunning { over: false, .. }) => &refused,
                        Err(other) => panic!("{other}"),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + LIMIT / 2;
        while (kills < 40 || subject.recycled() < 10) && Instant::now() < end {
            let before = answered.load(Ordering::Relaxed);
            wait_until("calls are answered again", || answered.load(Ordering::Relaxed) > before + kills % 7);
            subject.kill();
            kills += 1;
        }
        over.store(true, Ordering::Relaxed);
    });
    println!(
        "     ({kills} kills, {} replacements, {} restarts, {answered:?} answers, {died:?} died, {refused:?} refused)",
        subject.recycled(),
        subject.restarts()
    );
    assert!(subject.recycled() > 0 && subject.restarts() > 0);
    wait_until("it works", || subject.add(1).wait_for(LIMIT).is_ok());
    subject.stop(LIMIT);
}

fn a_stop(system: &System) {
    for (name, while_coming) in [("r.s1", true), ("r.s2", false)] {
        let (subject, old, new) = with_both(system, name, while_coming, Recycle::after_calls(1));
        let begin = Instant::now();
        subject.stop(Duration::from_millis(200));
        assert!(begin.elapsed() < LIMIT / 2);
        assert!(is_gone(old) && is_gone(new), "a stop returns when both are gone");
        // The one at work: the old one while the other was coming.
        assert_eq!(subject.join_for(LIMIT), Some(Exit::Code(0)), "{name}");
        let _ = std::fs::remove_file(marker(name));
    }
}

fn in_a_group(system: &System) {
    let group = system.group("r.group").strategy(Strategy::OneForAll).at_most(1).create();
    let member = |name: &str| {
        let spawn = group.spawn::<Subject>(Config::default()).name(name).restart(Restart::always());
        spawn.recycle(Recycle::after_calls(2)).start().unwrap()
    };
    let members = [member("r.group.1"), member("r.group.2")];
    let other = pid(&members[1]);
    for times in 1..=3 {
        let old = pid(&members[0]);
        (0..2).for_each(|_| _ = members[0].add(1).wait().unwrap());
        until_recycled(&members[0], times, old);
    }
    assert_eq!((pid(&members[1]), members[1].restarts(), members[0].restarts()), (other, 0, 0));
    assert!(!group.has_failed(), "planned ends don't count");
    members[0].kill();
    wait_until("both are started again", || {
        members.iter().all(|member| member.restarts() == 1 && member.state() == State::Ready)
    });
    group.stop(LIMIT);
}

/// A member in the middle of its replacement is taken down with the others, both incarnations of it, and up again.
fn in_a_group_that_restarts(system: &System) {
    for (name, while_coming) in [("r.both1", true), ("r.both2", false)] {
        let group = system.group(name).strategy(Strategy::OneForAll).create();
        let first = group.spawn::<Subject>(Config::default()).name(format!("{name}.first")).restart(Restart::always());
        let first = first.start().unwrap();
        let (subject, old, new) = with_both_in(Some(&group), system, name, while_coming, Recycle::after_calls(1));
        let _ = std::fs::remove_file(marker(name));
        first.kill();
        wait_until("both are up again", || {
            let up = |handle: &process::Handle| handle.restarts() == 1 && handle.state() == State::Ready;
            up(&first) && up(&subject)
        });
        assert!(is_gone(old) && is_gone(new), "{name}");
        assert!(subject.pid().wait_for(LIMIT).is_ok());
        group.stop(LIMIT);
    }
}

/// With a queue of four: the process waits for the reader, over all its incarnations, and nothing is lost.
fn events(system: &System) {
    let spawn = system.spawn::<Subject>(Config::default()).name("r.events").overflow(Overflow::Wait(4));
    let subject = spawn.recycle(Recycle::after_calls(2)).start().unwrap();
    let (events, handle) = (subject.events::<u64>(), subject.clone());
    let saying = std::thread::spawn(move || {
        for call in 1..=10 {
            handle.count(100).wait_for(LIMIT).unwrap();
            wait_until("every second call makes it due", || handle.recycled() >= call / 2);
        }
    });
    let mut count = [0; 101];
    for _ in 0..1000 {
        count[events.next_for(LIMIT).unwrap().unwrap() as usize] += 1;
    }
    saying.join().unwrap();
    assert!(count[1..].iter().all(|count| *count == 10), "{count:?}");
    assert_eq!((events.dropped(), events.next_for(Duration::ZERO).unwrap()), (0, None));
    assert_eq!(subject.recycled(), 5);
}

fn foreign(system: &System) {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "echo up; exec sleep 1000"]);
    let program = system.spawn_program(&shell).name("r.program").ready_line("up");
    let program = program.recycle(Recycle::after(Duration::from_millis(100))).start().unwrap();
    let old = program.process_id().unwrap();
    wait_until("it is replaced", || program.recycled() >= 1 && is_gone(old) && program.last_exit().is_some());
    assert_eq!((program.restarts(), program.state()), (0, State::Ready));
    assert_eq!(program.last_exit().unwrap().0, Exit::Signal(15));
    program.stop(LIMIT);
}

fn leaves_nothing(system: &System) {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let subject = spawn(system, "r.many", Config::default(), Recycle::after_calls(1));
    let events = subject.events::<u64>();
    for times in 1..=3 {
        subject.count(1).wait().unwrap();
        wait_until("it is replaced", || subject.recycled() >= times);
    }
    wait_until("the former one is gone", || children_called("r.many") == 1);
    system.stop(&[], LIMIT); // the supervisor has done with it
    let before = descriptors();
    for times in 4..=20 {
        subject.count(1).wait().unwrap();
        wait_until("it is replaced", || subject.recycled() >= times);
    }
    wait_until("nothing is left of the former ones", || children_called("r.many") == 1 && descriptors() == before);
    // What each of them said is there, once.
    (0..20).for_each(|_| assert_eq!(events.next_for(LIMIT).unwrap(), Some(1)));
    subject.stop(LIMIT);
    wait_until("nothing is left", || children_called("r.many") == 0);
}

/// Our children of that name, zombies too.
fn children_called(name: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let us = std::process::id().to_string();
    stats
        .filter(|stat| {
            let (before, after) = stat.rsplit_once(')').unwrap_or_default();
            before.ends_with(&format!("({name}")) && after.split_whitespace().nth(1) == Some(us.as_str())
        })
        .count()
}
