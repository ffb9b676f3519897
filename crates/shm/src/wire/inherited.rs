//! Descriptors that a service manager left open for this program when it started it.

use std::{
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first one (systemd's `SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// More than these are a mistake in the environment: a process has no more by default.
const MOST: RawFd = 1 << 20;

/// Takes over the descriptors that the environment says were left open for this process, with their names: sockets of a
/// unit, and what was in its [store](https://systemd.io/FILE_DESCRIPTOR_STORE/). It is systemd's protocol: `LISTEN_PID` is
/// this process, `LISTEN_FDS` how many there are from descriptor 3 on, `LISTEN_FDNAMES` what they are called, with colons
/// between. Nothing, if `LISTEN_PID` is somebody else. They close on exec from now on.
///
/// The first call in a process takes all; later ones find none. Call it before anything else could take them for its own:
/// another library that knows the same protocol would.
///
/// ```
/// assert!(shm::wire::inherited().is_empty(), "nothing was left for this example");
/// ```
#[must_use = "dropped, they are closed"]
pub fn inherited() -> Vec<(String, OwnedFd)> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let told = |name: &str| std::env::var(name).ok();
    let number = |name: &str| told(name)?.parse::<i32>().ok();
    if number("LISTEN_PID") != Some(rustix::process::getpid().as_raw_pid()) || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MOST);
    let names = told("LISTEN_FDNAMES").unwrap_or_default();
    // What has no name is called so by systemd too.
    let names = names.split(':').map(ToOwned::to_owned).chain(std::iter::repeat("unknown".to_owned()));
    (FIRST..FIRST + count).zip(names).filter_map(|(number, name)| Some((name, take(number)?))).collect()
}

/// Takes one over, if it came by exec: then it is open, and doesn't close on exec. What Rust's own library opens does.
fn take(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: used for two calls only, both of which are defined for any number: one that isn't open is an error.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if fcntl_getfd(borrowed).ok()?.contains(FdFlags::CLOEXEC) {
        return None;
    }
    fcntl_setfd(borrowed, FdFlags::CLOEXEC).ok()?;
    // SAFETY: it is open. Whoever started this process left it for it (the environment names this process, not its parent),
    // before any code in it ran that could have opened something at this number; and it wasn't taken yet: this runs
    // once a process for each number, and what was taken by others of this protocol closes on exec.
    Some(unsafe { OwnedFd::from_raw_fd(borrowed.as_raw_fd()) })
}
