//! How much private memory a process has, and how much it may have.

use std::{fs, time::Duration};

use crate::Limit;

/// How often a process with a limit is looked at. Twenty microseconds of work each time.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What Rust's allocator writes as it ends the process for want of memory.
pub(crate) const NO_MEMORY: &str = "memory allocation of ";

/// What bounds a process between two looks: private memory that it has asked for, touched or not. Thread stacks and the
/// allocators' reserves count too, so it is far above the limit that is meant.
pub(crate) fn resource(limit_bytes: u64) -> (Limit, u64) {
    const RESERVES_BYTES: u64 = 256 << 20;
    (Limit::DataBytes, limit_bytes.saturating_mul(2).saturating_add(RESERVES_BYTES))
}

/// The private memory of a process, in bytes: what it has touched and nobody shares, in memory or swapped out.
pub(crate) fn private_bytes(pid: i32) -> Option<u64> {
    private(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn private(status: &str) -> Option<u64> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    // A process that ends has no such lines any more.
    Some((field("RssAnon:")? + field("VmSwap:").unwrap_or(0)) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_own_words_are_understood() {
        assert_eq!(private("Name:\tx\nRssAnon:\t     100 kB\nVmSwap:\t 3 kB\n"), Some(103 * 1024));
        assert_eq!(private("Name:\tx\nState:\tZ (zombie)\n"), None);
        assert!(private_bytes(std::process::id() as i32).unwrap() > 100_000);
    }
}
