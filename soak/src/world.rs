//! What a leak would show in.

use std::{
    fmt, fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::Outcome;

/// What this process and the machine have at one moment.
pub struct World {
    descriptors: usize,
    mappings: usize,
    threads: usize,
    /// Memory of the whole machine that is shared and nameless.
    shared_bytes: u64,
    names: Vec<String>,
}

/// Other programs share memory as well: a leak of ours would grow beyond this soon.
const OTHERS_BYTES: u64 = 64 << 20;

impl World {
    pub fn now() -> Outcome<Self> {
        let mut names = names_in(Path::new("/dev/shm"));
        names.extend(names_in(&std::env::temp_dir()).into_iter().filter(|name| name.contains("framewire")));
        names.sort();
        let maps = fs::read_to_string("/proc/self/maps")?;
        Ok(Self {
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            mappings: maps.lines().filter(|line| line.contains("memfd:")).count(),
            threads: fs::read_dir("/proc/self/task")?.count(),
            shared_bytes: shared_bytes(&fs::read_to_string("/proc/meminfo")?),
            names,
        })
    }

    /// Says what isn't as it was. What a dead process had comes back when the kernel gets to it, so it may take a moment.
    pub fn is_as_before(&self) -> Outcome {
        const LIMIT: Duration = Duration::from_secs(10);
        let begun = Instant::now();
        loop {
            match self.compare(&Self::now()?) {
                Ok(()) => return Ok(()),
                Err(difference) if begun.elapsed() > LIMIT => return Err(difference.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)), // sleep: nothing tells when the kernel has done it
            }
        }
    }

    fn compare(&self, now: &Self) -> Result<(), String> {
        let same = |what: &str, before: usize, now: usize| {
            if now > before { Err(format!("{before} {what} became {now}")) } else { Ok(()) }
        };
        same("open descriptors", self.descriptors, now.descriptors)?;
        same("mapped memfds", self.mappings, now.mappings)?;
        same("threads", self.threads, now.threads)?;
        if now.shared_bytes > self.shared_bytes + OTHERS_BYTES {
            return Err(format!("{} bytes of shared memory became {}", self.shared_bytes, now.shared_bytes));
        }
        match now.names.iter().find(|name| !self.names.contains(name)) {
            Some(left) => Err(format!("{left} was left behind")),
            None => Ok(()),
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, mappings, threads, shared_bytes, names } = self;
        write!(f, "{descriptors} descriptors, {mappings} memfds mapped, {threads} threads, ")?;
        write!(f, "{} MiB shared on this machine, {} names", shared_bytes >> 20, names.len())
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().to_string_lossy().into_owned()).collect()
}

/// `Shmem` of `/proc/meminfo`: all memfds and tmpfs files there are.
fn shared_bytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Shmem:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
}
