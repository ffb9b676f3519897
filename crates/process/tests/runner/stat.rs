//! What the kernel tells of processes.

use std::fs;

/// All children of a process, also those that have ended and wait to be reaped.
pub fn children(parent: i32) -> Vec<i32> {
    let parent = parent.to_string();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    all.filter(|pid| stat(*pid, 1).is_some_and(|of| of == parent)).collect()
}

/// Whether it has ended; somebody may still have to take its status.
pub fn is_gone(pid: i32) -> bool {
    stat(pid, 0).is_none_or(|state| ["Z", "X"].contains(&state.as_str()))
}

/// A field of `/proc/PID/stat` after the name: 0 is the state, 1 the parent, 2 the process group. `None` if it is gone.
pub fn stat(pid: i32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything.
    stat.rsplit(')').next()?.split_whitespace().nth(field).map(str::to_owned)
}
