//! Deaths and ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rustix::{
    net::{Shutdown, shutdown},
    process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open},
};

use super::program::{Program, is_gone, names_in_shm, wait_for};

const DEMO: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn streaming(program: &Program) {
    program.wait_for_row("/api/cameras", "demo", |row| row["state"] == "streaming");
    program.wait_for_row("/api/processes", "demo.motion", |row| row["frames_out_per_s"].as_f64() > Some(5.0));
}

#[test]
fn both_signals_stop_it_in_order_and_nothing_is_left() {
    for signal in [Signal::INT, Signal::TERM] {
        let names = names_in_shm();
        let program = Program::start(&DEMO);
        streaming(&program);
        let children = program.children();
        assert_eq!(children.len(), 5);
        let (took, code) = program.stop(signal);
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(2), "it took {took:?}");
        assert!(children.iter().all(|pid| is_gone(*pid)));
        assert_eq!(names_in_shm(), names);
    }
}

#[test]
fn it_stops_within_two_seconds_also_if_every_process_hangs() {
    let program = Program::start(&DEMO);
    streaming(&program);
    let children = program.children();
    children.iter().for_each(|pid| kill_process(*pid, Signal::STOP).unwrap());
    let (took, code) = program.stop(Signal::TERM);
    assert!(took < Duration::from_secs(2) && code == Some(0), "it took {took:?} and ended with {code:?}");
    assert!(children.iter().all(|pid| is_gone(*pid)));
}

#[test]
fn nobody_survives_the_supervisor() {
    let program = Program::start(&DEMO);
    streaming(&program);
    let children = program.children();
    kill_process(children[0], Signal::STOP).unwrap();
    kill_process(program.pid(), Signal::KILL).unwrap();
    let killed = Instant::now();
    wait_for("all are gone", || children.iter().all(|pid| is_gone(*pid)).then_some(()));
    println!("all gone {:.1} ms after the supervisor", killed.elapsed().as_secs_f64() * 1000.0);
}

#[test]
fn each_process_comes_back_and_the_others_do_not_notice() {
    let astronaut = super::program::clip("astronaut_pan_540p15.mp4");
    let bunny = super::program::clip("demo_720p25.mp4");
    let program = Program::start(&["run", &astronaut, &bunny, "--listen", "127.0.0.1:0"]);
    let (victim, other) = ("astronaut-pan-540p15", "demo-720p25");
    for camera in [victim, other] {
        let motion = format!("{camera}.motion");
        program.wait_for_row("/api/processes", &motion, |row| row["frames_out_per_s"].as_f64() > Some(5.0));
    }
    for kind in ["camera", "decoder", "motion"] {
        let name = format!("{victim}.{kind}");
        let before = program.wait_for_row("/api/processes", &name, |row| row["state"] == "ready");
        let pid = Pid::from_raw(before["pid"].as_i64().unwrap() as i32).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        let after =
            program.wait_for_row("/api/processes", &name, |row| row["state"] == "ready" && row["restarts"] == 1);
        assert_ne!(after["pid"], before["pid"]);
        assert_eq!(after["last_exit"], "killed by SIGKILL");
        let motion = format!("{victim}.motion");
        program.wait_for_row("/api/processes", &motion, |row| row["frames_out_per_s"].as_f64() > Some(5.0));
    }
    for kind in ["camera", "decoder", "motion"] {
        let row = program.wait_for_row("/api/processes", &format!("{other}.{kind}"), |_| true);
        assert_eq!(row["restarts"], 0, "{row}");
        // Motion takes the newest pictures and may skip some on a loaded machine; packets are never lost.
        assert!(kind == "motion" || row["dropped"] == 0, "{row}");
    }
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

/// The sockets of a process other than its line to the supervisor, which is the first.
fn wires(pid: Pid) -> BTreeMap<i32, String> {
    let entries = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).unwrap();
    let link = |entry: std::fs::DirEntry| {
        let number = entry.file_name().to_string_lossy().parse().ok()?;
        let target = std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        target.starts_with("socket:").then_some((number, target))
    };
    let mut sockets: BTreeMap<i32, String> = entries.flatten().filter_map(link).collect();
    sockets.pop_first();
    sockets
}

#[test]
fn a_wire_that_breaks_while_both_its_ends_live_is_joined_anew() {
    let program = Program::start(&DEMO);
    streaming(&program);
    let name = "demo.motion";
    let row = program.wait_for_row("/api/processes", name, |row| row["state"] == "ready");
    let pid = Pid::from_raw(row["pid"].as_i64().unwrap() as i32).unwrap();
    let before = wires(pid);
    let names = |wires: BTreeMap<i32, String>| wires.into_values().collect::<BTreeSet<_>>();
    assert_eq!(names(before.clone()).len(), 2, "one in, one out: {before:?}");
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    // All first: as soon as one is shut down, numbers may come to mean something else.
    let take = |number: &i32| pidfd_getfd(&process, *number, PidfdGetfdFlags::empty()).unwrap();
    let sockets: Vec<_> = before.keys().map(take).collect();
    sockets.iter().for_each(|socket| shutdown(socket, Shutdown::Both).unwrap());
    drop(sockets);
    wait_for("both wires are new", || {
        let now = names(wires(pid));
        (now.len() == 2 && now.is_disjoint(&names(before.clone()))).then_some(())
    });
    let row = program.wait_for_row("/api/processes", name, |row| row["frames_out_per_s"].as_f64() > Some(5.0));
    assert_eq!(row["restarts"], 0);
    assert_eq!(program.stop(Signal::INT).1, Some(0));
}

#[test]
fn a_terminal_that_stands_still_or_is_gone_holds_nobody_up() {
    // Nobody reads what it prints, and its pipes are closed: writing there is an error, or a signal.
    let mut child = super::program::command(&DEMO).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    drop(child.stderr.take());
    while !line.contains(" is at ") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut stdout, &mut line).unwrap() > 0, "it ended");
    }
    drop(stdout);
    let pid = Pid::from_child(&child);
    let running = || -> Vec<Pid> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).unwrap().flatten();
        let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        lists
            .flat_map(|list| {
                list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect::<Vec<_>>()
            })
            .filter(|pid| !is_gone(*pid)) // the last victim may not be reaped yet
            .collect()
    };
    for _ in 0..3 {
        let victim = wait_for("all five run", || (running().len() == 5).then(|| running()[0]));
        kill_process(victim, Signal::KILL).unwrap();
        wait_for("it is gone", || is_gone(victim).then_some(()));
    }
    wait_for("all five run again", || (running().len() == 5).then_some(()));
    kill_process(pid, Signal::TERM).unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

#[test]
fn it_stops_at_once_also_while_it_still_starts() {
    let clip = super::program::clip("astronaut_pan_540p15.mp4");
    let mut arguments = vec!["run", "--listen", "127.0.0.1:0"];
    arguments.extend(std::iter::repeat_n(clip.as_str(), 40));
    let mut child = super::program::command(&arguments).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("ready"), "{first}");
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    assert!(lines.map_while(Result::ok).all(|line| !line.contains(" is at ")), "it had started already");
}
