//! How much memory may still be taken: asked before it is, so that too little is an error and not a SIGBUS.

use std::fs;

/// What this machine, and the control group that we are in, have left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// `MemAvailable` of `/proc/meminfo`, in bytes; `None` if it can't be read.
    pub machine_bytes: Option<u64>,
    /// What is left below `memory.max` of our control group (version 2), in bytes; `None` if there is no limit.
    pub group_bytes: Option<u64>,
}

/// More memory was asked for than is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "reserve {asked_bytes} bytes of shared memory: {} bytes are available on this machine and {} in this control \
     group; ask for smaller or fewer frames, or give the machine or the group more memory",
    or_unknown(left.machine_bytes), or_unknown(left.group_bytes)
)]
pub struct OverBudget {
    /// How much was asked for.
    pub asked_bytes: u64,
    /// How much there was.
    pub left: Budget,
}

fn or_unknown(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "an unlimited number of".to_owned(), |bytes| bytes.to_string())
}

impl Budget {
    /// What is left now.
    #[must_use]
    pub fn now() -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { machine_bytes: available(&meminfo), group_bytes: own_group(&group).and_then(|path| left_below(&path)) }
    }

    /// Says whether `asked_bytes` more may be taken.
    ///
    /// # Errors
    ///
    /// [`OverBudget`], with the numbers, if not.
    ///
    /// ```
    /// use shm::memory::Budget;
    /// let budget = Budget { machine_bytes: Some(1 << 30), group_bytes: None };
    /// assert!(budget.check(1 << 20).is_ok());
    /// assert!(budget.check(1 << 40).is_err());
    /// ```
    pub fn check(self, asked_bytes: u64) -> Result<(), OverBudget> {
        let left = self.machine_bytes.unwrap_or(u64::MAX).min(self.group_bytes.unwrap_or(u64::MAX));
        if asked_bytes > left { Err(OverBudget { asked_bytes, left: self }) } else { Ok(()) }
    }
}

/// Where version 2 control groups are mounted, on every system that has them alone.
const ROOT: &str = "/sys/fs/cgroup";

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The version 2 control group of `/proc/self/cgroup`: the line of hierarchy 0.
fn own_group(cgroups: &str) -> Option<String> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(format!("{ROOT}{}", path.trim_end_matches('/')))
}

/// The least that is left in a group or in any that it is in.
fn left_below(group: &str) -> Option<u64> {
    let groups = std::path::Path::new(group).ancestors().take_while(|path| path.starts_with(ROOT));
    groups.filter_map(|path| left_in(&path.to_string_lossy())).min()
}

fn left_in(group: &str) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(format!("{group}/{file}")).ok();
    let number = |file: &str| read(file)?.trim().parse::<u64>().ok();
    Some(left(number("memory.max")?, number("memory.current")?, &read("memory.stat").unwrap_or_default()))
}

/// What can be taken below `max`: files that are only cached count as used, but give way.
fn left(max: u64, current: u64, stat: &str) -> u64 {
    let gives_way = |line: &str| {
        let (name, bytes) = line.split_once(' ')?;
        ["inactive_file", "slab_reclaimable"].contains(&name).then(|| bytes.parse::<u64>().ok())?
    };
    let gives_way: u64 = stat.lines().filter_map(gives_way).sum();
    max.saturating_sub(current.saturating_sub(gives_way))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_words_are_understood() {
        assert_eq!(available("MemTotal: 24 kB\nMemAvailable:   16 kB\n"), Some(16384));
        assert_eq!(available("MemTotal: 24 kB\n"), None);
        assert_eq!(own_group("4:memory:/a\n0::/user/b\n").as_deref(), Some("/sys/fs/cgroup/user/b"));
        assert_eq!(own_group("4:memory:/a\n"), None);
    }

    #[test]
    fn cached_files_give_way() {
        assert_eq!(left(100, 90, "anon 5\ninactive_file 60\nslab_reclaimable 7\n"), 77);
        assert_eq!(left(100, 120, ""), 0);
    }

    #[test]
    fn the_smaller_limit_counts_and_the_error_has_the_numbers() {
        let budget = Budget { machine_bytes: Some(1000), group_bytes: Some(10) };
        assert!(budget.check(10).is_ok());
        let told = budget.check(11).unwrap_err().to_string();
        assert!(told.contains("11 bytes") && told.contains("1000") && told.contains("10 in this"), "{told}");
    }
}
