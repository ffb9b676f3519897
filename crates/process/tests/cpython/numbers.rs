//! What a process's number is good for when the process is gone.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use process::{Exit, Handle, System};

use super::{
    runner::{Test, is_gone, wait_until},
    subject::start,
};

pub const TESTS: &[Test] = &[("a_signal_to_one_that_is_gone_meets_no_stranger", no_stranger)];

/// Signals go by the process's descriptor. So the next process of the same number, made sure of here as far as the kernel lets
/// us, gets none of them.
fn no_stranger(system: &System) {
    let subject = start(system, "gone");
    let pid = subject.process_id().unwrap();
    subject.kill();
    assert_eq!(subject.join(), Exit::Signal(9));
    wait_until("nothing is left of it", || is_gone(pid) && !fs::exists(format!("/proc/{pid}")).unwrap());
    let Some(mut stranger) = stranger(pid) else {
        println!("     (skipped: only root may choose the number of the next process)");
        return;
    };
    for signal in [Handle::terminate as fn(&Handle), Handle::interrupt, Handle::kill] {
        signal(&subject);
    }
    // The supervisor has done what was ordered: it is asked for something after that.
    assert_eq!(start(system, "after").who().wait().unwrap().2, "after");
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger was hit");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// A process of that number.
fn stranger(pid: i32) -> Option<Child> {
    for _ in 0..200 {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let mut child = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
        if child.id() == pid as u32 {
            return Some(child);
        }
        // Somebody else was quicker.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    None
}
