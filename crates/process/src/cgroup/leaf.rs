//! The control group of one child.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{NoTree, failed, make, write};

/// The group of one incarnation. It is there until [`remove`](Self::remove) succeeds.
#[derive(Debug)]
pub(crate) struct Leaf {
    path: PathBuf,
    limit_bytes: Option<u64>,
}

impl Leaf {
    pub(super) fn create(path: &Path) -> Result<Self, NoTree> {
        make(path)?;
        Ok(Self { path: path.to_owned(), limit_bytes: None })
    }

    /// The kernel doesn't let those inside have more; if they want more, all of them end.
    pub(super) fn limit(mut self, limit_bytes: u64) -> Result<Self, NoTree> {
        let limited = write(&self.path.join("memory.max"), &limit_bytes.to_string());
        if limited.is_err() {
            let _ = self.remove();
        }
        limited?;
        // A half of a process family is of no use to anybody. Older kernels have no such file (before 4.19).
        let _ = write(&self.path.join("memory.oom.group"), "1");
        // What is swapped out counts too: a limit, not a slower machine. There is no such file without swap.
        let _ = write(&self.path.join("memory.swap.max"), "0");
        self.limit_bytes = Some(limit_bytes);
        Ok(self)
    }

    /// What the kernel keeps, in bytes.
    pub(crate) fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// The file by which a process goes in: it writes `0`.
    pub(crate) fn door(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Whether the kernel has ended somebody in it for want of memory.
    pub(crate) fn was_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        let count = |name: &str| {
            let value = events.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        count("oom_kill") > 0 || count("oom_group_kill") > 0
    }

    /// Ends all that is in it, wherever that has gone: to another session, to another process group.
    pub(crate) fn kill(&self) {
        // There is no such file before Linux 5.14. By numbers it isn't done: one may be a stranger's by then.
        let _ = write(&self.path.join("cgroup.kill"), "1");
    }

    /// Takes it away. What is in it must have ended, which after [`kill`](Self::kill) takes the kernel a moment.
    ///
    /// # Errors
    ///
    /// If somebody lives in it still. It can be tried again.
    pub(crate) fn remove(&self) -> Result<(), NoTree> {
        match fs::remove_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &self.path)(error)),
            _ => Ok(()),
        }
    }
}
