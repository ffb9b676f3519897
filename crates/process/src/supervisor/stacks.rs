//! What the threads of a process are at, read from outside: without ptrace, and without a handler in the process, which an
//! unresponsive one couldn't run.
//!
//! The process is stopped first: then the kernel tells also of a running thread where it was. Return addresses are *likely*
//! ones, found on its stack by where they point to: some may be left over from earlier calls.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, pidfd_send_signal};

use super::orders::{Order, Orders};
use crate::launch::Launched;

/// A pool of threads may be large, and a report is for reading.
const MOST_THREADS: usize = 16;
/// How far up its stack a thread is followed.
const STACK_BYTES: usize = 16 * 1024;
const MOST_ADDRESSES: usize = 12;
/// One that takes longer to stop is in the kernel's hands; what can be seen of it then is.
const STOPS_WITHIN: Duration = Duration::from_millis(250);

/// Reads them on a thread of their own, and gives them as an order. The process stays stopped.
pub(super) fn read(id: u64, launched: &Launched, orders: Orders) -> io::Result<()> {
    let (pid, pidfd) = (launched.pid.as_raw_pid(), launched.pidfd.as_fd().try_clone_to_owned()?);
    thread::Builder::new().name("stacks".to_owned()).stack_size(256 * 1024).spawn(move || {
        let lines = stacks(pid, &pidfd);
        orders.give(Order::Stacks { id, pid, lines });
    })?;
    Ok(())
}

fn stacks(pid: i32, pidfd: &OwnedFd) -> Vec<String> {
    // By its pidfd: the number may be somebody else's by now, but then nothing below is more than a wrong report.
    let _ = pidfd_send_signal(pidfd, Signal::STOP);
    let places = Places::of(pid);
    let memory = File::open(format!("/proc/{pid}/mem")).ok();
    let mut threads: Vec<String> = fs::read_dir(format!("/proc/{pid}/task"))
        .map(|tasks| tasks.flatten().map(|task| task.path().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    threads.sort();
    threads.iter().take(MOST_THREADS).flat_map(|thread| of_thread(thread, &places, memory.as_ref())).collect()
}

fn of_thread(task: &str, places: &Places, memory: Option<&File>) -> Vec<String> {
    let read = |file: &str| fs::read_to_string(format!("{task}/{file}")).unwrap_or_default().trim().to_owned();
    let state = || read("stat").rsplit(')').next().and_then(|rest| rest.trim_start().chars().next()).unwrap_or('?');
    let end = Instant::now() + STOPS_WITHIN;
    while state() != 'T' && Instant::now() < end {
        thread::sleep(Duration::from_millis(1)); // sleep: the kernel tells nobody but a waiting parent
    }
    // "number arguments… stack-pointer program-counter", with -1 for a number outside of system calls.
    let call = read("syscall");
    let words: Vec<&str> = call.split_whitespace().collect();
    let address = |word: Option<&&str>| u64::from_str_radix(word?.strip_prefix("0x")?, 16).ok();
    let (counter, pointer) = (address(words.last()), address(words.iter().rev().nth(1)));
    let doing = match words.first() {
        None | Some(&"running") => "running".to_owned(),
        Some(&"-1") => "computing".to_owned(),
        Some(number) => format!("in system call {number}"),
    };
    let at = counter.and_then(|counter| places.name(counter)).unwrap_or_else(|| "unknown".to_owned());
    let id = task.rsplit('/').next().unwrap_or_default();
    let mut lines = vec![format!("thread {} ({id}), {}: {doing}, at {at}", read("comm"), state())];
    let kernel = read("stack");
    let kernel: Vec<&str> = kernel.lines().filter_map(|line| line.split_whitespace().last()).take(6).collect();
    if !kernel.is_empty() {
        lines.push(format!("    in the kernel: {}", kernel.join(" < ")));
    }
    if let (Some(memory), Some(pointer)) = (memory, pointer) {
        let mut stack = vec![0; STACK_BYTES];
        // It may end before: then what there is.
        let count = memory.read_at(&mut stack, pointer).unwrap_or(0);
        let words = stack[..count].as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word));
        let likely: Vec<String> = words.filter_map(|word| places.name(word)).take(MOST_ADDRESSES).collect();
        if !likely.is_empty() {
            lines.push(format!("    likely called from: {}", likely.join(" < ")));
        }
    }
    lines
}

/// Where code is in a process.
struct Places(Vec<Place>);

struct Place {
    start: u64,
    end: u64,
    /// Where its file begins: addresses relative to that are what `addr2line` takes.
    base: u64,
    file: String,
}

impl Places {
    fn of(pid: i32) -> Self {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default())
    }

    fn parse(maps: &str) -> Self {
        let (mut places, mut base) = (Vec::new(), (String::new(), 0));
        for line in maps.lines() {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights), Some(file)) = (words.next(), words.next(), words.nth(3)) else { continue };
            let Some((start, end)) = range.split_once('-') else { continue };
            let (Ok(start), Ok(end)) = (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)) else { continue };
            if base.0 != file {
                base = (file.to_owned(), start);
            }
            if rights.contains('x') && (!file.starts_with('[') || file == "[vdso]") {
                places.push(Place { start, end, base: base.1, file: file.to_owned() });
            }
        }
        Self(places)
    }

    /// An address as a file and an offset, if there is code.
    fn name(&self, address: u64) -> Option<String> {
        let place = self.0.iter().find(|place| (place.start..place.end).contains(&address))?;
        let file = place.file.rsplit('/').next().unwrap_or(&place.file);
        Some(format!("{file}+{:#x}", address - place.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_named_by_its_file() {
        let maps = "1000-2000 r--p 00000000 08:01 5 /bin/it\n2000-3000 r-xp 00001000 08:01 5 /bin/it\n\
                    8000-9000 r-xp 00000000 00:00 0 [vdso]\n9000-a000 rwxp 00000000 00:00 0\n";
        let places = Places::parse(maps);
        assert_eq!(places.name(0x2010).as_deref(), Some("it+0x1010"));
        assert_eq!(places.name(0x8010).as_deref(), Some("[vdso]+0x10"));
        assert_eq!((places.name(0x1010), places.name(0x9010)), (None, None));
    }
}
