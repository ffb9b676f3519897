//! What the kernel says of processes, and what the log says.

use std::{
    fs,
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

use process::{Handle, System};

use super::{
    LIMIT,
    runner::{children, is_gone, stat::stat},
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

/// Starts one, by the zygote. On a machine so loaded that the zygote doesn't answer in time it is exec for a while.
pub fn start(system: &System, name: &str) -> SubjectHandle {
    let mut started = None;
    wait_until("the zygote makes a child", || {
        let subject = start_somehow(system, name);
        if is_copy(pid(&subject)) {
            started = Some(subject);
        } else {
            subject.stop(LIMIT);
        }
        started.is_some()
    });
    started.unwrap()
}

/// Starts one, by exec if the zygote can't.
pub fn start_somehow(system: &System, name: &str) -> SubjectHandle {
    system.spawn::<Subject>(Config::default()).name(name).start().unwrap()
}

pub fn pid(handle: &Handle) -> i32 {
    handle.process_id().unwrap()
}

/// Whether it was made by copying and has not called exec since.
pub fn is_copy(pid: i32) -> bool {
    const PF_FORKNOEXEC: u64 = 0x40;
    stat(pid, 6).is_some_and(|flags| flags.parse::<u64>().unwrap() & PF_FORKNOEXEC != 0)
}

pub fn parent(pid: i32) -> i32 {
    stat(pid, 1).unwrap().parse().unwrap()
}

/// Whether nothing is left of it.
pub fn is_reaped(pid: i32) -> bool {
    stat(pid, 0).is_none()
}

pub fn title(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The living zygotes of a process.
pub fn zygotes(parent: i32) -> Vec<i32> {
    children(parent)
        .into_iter()
        // A copy has its zygote's title until it gives itself another.
        .filter(|pid| !is_gone(*pid) && !is_copy(*pid) && title(*pid).starts_with("framewire\0__zygote"))
        .collect()
}

/// Ours; one that was killed takes a moment to go.
pub fn our_zygote() -> i32 {
    let mut all = Vec::new();
    wait_until("there is one zygote", || {
        all = zygotes(std::process::id() as i32);
        all.len() == 1
    });
    all[0]
}

pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn write_down_the_log() {
    tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log).init();
}

pub fn log() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
