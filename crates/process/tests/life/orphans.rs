//! The supervisor itself is killed: nobody survives it.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Instant,
};

use process::{BoxError, System};
use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

use super::{
    calls::start,
    runner::{Test, children, is_gone, wait_until},
};

pub const TESTS: &[Test] = &[
    ("nobody_survives_the_supervisor", nobody_survives_the_supervisor),
    ("whoever_inherits_orphans_takes_their_status", whoever_inherits_orphans),
];

/// The argument that makes this program one that inherits orphans, as a container's process 1 does.
pub const HEIR: &str = "heir";

/// Has processes killed that have children, and waits until nothing is left of them, not even to be reaped.
pub fn heir(system: &System) -> Result<(), BoxError> {
    set_child_subreaper(Some(getpid()))?;
    let before = children(std::process::id() as i32).len();
    for round in 0..5 {
        let mut shell = Command::new("/bin/sh");
        // A child, and a child's child.
        shell.args(["-c", "sleep 1000 & sh -c 'sleep 1000 & wait' & echo begun; wait"]);
        let program = system.spawn_program(&shell).name(format!("shell.{round}")).ready_line("begun").start()?;
        let subject = start(system, &format!("heir.{round}"));
        subject.grandchild().wait()??;
        subject.kill();
        program.kill();
        let _ = (subject.join(), program.join());
    }
    let own_zygote = usize::from(std::env::var_os(super::BY_ZYGOTE).is_some());
    wait_until("all are reaped", || children(std::process::id() as i32).len() <= before + own_zygote);
    println!("nobody is left");
    Ok(())
}

fn whoever_inherits_orphans(_system: &System) {
    let heir = Command::new("/proc/self/exe").arg(HEIR).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&heir.stdout), "nobody is left\n", "{heir:?}");
}

/// The argument that makes this program a parent to be killed.
pub const PARENT: &str = "parent";

/// Starts an idle, a busy and a stopped child, says who they are, and waits to be killed.
pub fn parent(system: &System) -> Result<(), BoxError> {
    let children = ["idle", "busy", "stopped"].map(|name| start(system, name));
    let pids = children.each_ref().map(|child| child.pid().wait().map(|pid| pid as i32));
    children[1].spin(600_000).detach();
    let [idle, busy, stopped] = pids;
    let (idle, busy, stopped) = (idle?, busy?, stopped?);
    kill_process(Pid::from_raw(stopped).ok_or("no pid")?, Signal::STOP)?;
    println!("{idle} {busy} {stopped}");
    loop {
        std::thread::park();
    }
}

fn nobody_survives_the_supervisor(_system: &System) {
    let mut parent = Command::new("/proc/self/exe").arg(PARENT).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let children: Vec<i32> = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(children.len(), 3, "{line:?}");
    assert!(children.iter().all(|pid| !is_gone(*pid)));
    parent.kill().unwrap();
    let killed = Instant::now();
    wait_until("all children are gone", || children.iter().all(|pid| is_gone(*pid)));
    println!("     (all gone {:.1} ms after the supervisor)", killed.elapsed().as_secs_f64() * 1000.0);
    parent.wait().unwrap();
}
