//! A process by its pidfd, which tells of its death whatever else of it lives on.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    ioctl::{Opcode, Updater, ioctl, opcode},
    process::{Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid},
};

use crate::call;

/// This process's, to be given to another one.
pub(crate) fn own() -> io::Result<OwnedFd> {
    pidfd_open(getpid(), PidfdFlags::empty()).map_err(call::failed("pidfd_open"))
}

/// Says what is wrong with a descriptor that another process gave us as its pidfd.
///
/// # Errors
///
/// If it is none. Watching another kind of descriptor can wait for whoever is behind it, such as a file system in user
/// space.
pub(crate) fn check(life: &impl AsFd) -> Result<(), String> {
    // A question that is only asked of pidfds: it changes nothing, also if the process happens to be our child.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match retry_on_intr(|| waitid(WaitId::PidFd(life.as_fd()), options)) {
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(errno) => Err(format!("waitid: the descriptor that should tell of its life is no pidfd: {errno}")),
    }
}

/// The wait status of a process that has ended, as its pidfd remembers it: also if somebody else has reaped the process.
/// `None` while it lives, and before Linux 6.15.
///
/// ```
/// use rustix::process::{Pid, PidfdFlags, pidfd_open};
/// # fn main() -> std::io::Result<()> {
/// let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
/// let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
/// assert_eq!(shm::life::wait_status(&pidfd), None);
/// child.kill()?;
/// child.wait()?;
/// assert!(matches!(shm::life::wait_status(&pidfd), Some(9) | None));
/// # Ok(()) }
/// ```
#[must_use]
pub fn wait_status(life: &impl AsFd) -> Option<i32> {
    const GET_INFO: Opcode = opcode::read_write::<Info>(0xFF, 11);
    const EXIT: u64 = 1 << 3;
    let mut info = Info { mask: EXIT, ..Info::default() };
    // SAFETY: the opcode is PIDFD_GET_INFO with the size of `Info`, which is the kernel's `struct pidfd_info` of its
    // first version: the kernel writes at most as many bytes as the opcode says. Other descriptors refuse it.
    unsafe { ioctl(life, Updater::<GET_INFO, Info>::new(&mut info)) }.ok()?;
    (info.mask & EXIT != 0).then_some(info.exit_code)
}

/// The kernel's `struct pidfd_info`, 64 bytes.
#[derive(Default)]
#[repr(C)]
struct Info {
    /// What is asked for, then what was told.
    mask: u64,
    cgroup: u64,
    /// Identifiers of the process, of its parent and of its user and group.
    identifiers: [u32; 11],
    exit_code: i32,
}

/// Whether the process has ended.
pub(crate) fn is_over(life: &impl AsFd) -> bool {
    let mut watched = [PollFd::new(life, PollFlags::IN)];
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut watched, Some(&no_wait))).is_ok() && watched[0].revents().contains(PollFlags::IN)
}

/// Whether the process leads its own process group, and so gets a signal to the group of its number. `false` if there is
/// no such process.
///
/// `rustix::process::getpgid` takes each answer for the number of a process. The kernel says 0 of a group that is none
/// of our PID namespace's, as in a container into which somebody has entered (`docker exec`).
///
/// ```
/// use std::os::unix::process::CommandExt;
/// # fn main() -> std::io::Result<()> {
/// let mut child = std::process::Command::new("sleep").arg("60").process_group(0).spawn()?;
/// let pid = rustix::process::Pid::from_child(&child);
/// assert!(shm::life::leads_group(pid));
/// child.kill()?;
/// child.wait()?;
/// assert!(!shm::life::leads_group(pid));
/// # Ok(()) }
/// ```
#[must_use]
pub fn leads_group(pid: Pid) -> bool {
    // SAFETY: `getpgid` takes a number and gives one.
    unsafe { libc::getpgid(pid.as_raw_pid()) == pid.as_raw_pid() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends_and_only_a_pidfd_is_one() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let life = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        assert_eq!((check(&life), is_over(&life)), (Ok(()), false));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((check(&life), is_over(&life)), (Ok(()), true));
        assert_eq!(check(&own().unwrap()), Ok(()));
        assert!(check(crate::doorbell::Doorbell::new().unwrap().passed().as_ref().unwrap()).is_err());
    }
}
