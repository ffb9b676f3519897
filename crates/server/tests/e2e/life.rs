//! Deaths and ends.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

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
        let pid = rustix::process::Pid::from_raw(before["pid"].as_i64().unwrap() as i32).unwrap();
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
