//! What the kernel tells of processes.

use std::{fs, thread, time::Duration};

use bench::{Outcome, cores::Core};
use rustix::process::Pid;

/// Keeps all threads of a process there.
pub fn pin_process(pid: u32, core: Core) -> Outcome {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let tid = task?.file_name().to_str().and_then(|tid| Pid::from_raw(tid.parse().ok()?));
        core.pin_thread(tid)?;
    }
    Ok(())
}

/// What it has for itself, in KiB: what would be free if it ended.
pub fn private_kib(pid: u32) -> Outcome<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = fs::read_to_string(&path).map_err(|error| format!("read {path}: {error}"))?;
    let private = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u32>().ok());
    Ok(f64::from(kib.sum::<u32>()))
}

/// How often the threads of these processes are let run, from when they have come to rest, in so long.
pub fn switches_a_second(pids: &[u32], patience: Duration) -> Outcome<f64> {
    let switches = || pids.iter().map(|pid| switches(*pid)).sum::<Outcome<u64>>();
    let mut before = switches()?;
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(50)); // sleep: looks whether anything happens
        let now = switches()?;
        if now == std::mem::replace(&mut before, now) {
            break;
        }
    }
    thread::sleep(patience); // sleep: what is measured is that nothing happens in this time
    Ok((switches()? - before) as f64 / patience.as_secs_f64())
}

/// The library's threads in this process. The others measure, or watch that this comes to an end.
const LIBRARY: [&str; 2] = ["supervisor", "pool"];

/// How often any thread of a process has gone to sleep by itself; of this process, the library's.
fn switches(pid: u32) -> Outcome<u64> {
    let mut count = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if pid == std::process::id() && !LIBRARY.contains(&fs::read_to_string(task.join("comm"))?.trim()) {
            continue;
        }
        let status = fs::read_to_string(task.join("status"))?;
        let slept = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        count += slept.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(count)
}
