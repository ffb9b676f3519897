//! A process by its pidfd, which tells of its death whatever else of it lives on.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    process::{PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid},
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

/// Whether the process has ended.
pub(crate) fn is_over(life: &impl AsFd) -> bool {
    let mut watched = [PollFd::new(life, PollFlags::IN)];
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut watched, Some(&no_wait))).is_ok() && watched[0].revents().contains(PollFlags::IN)
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
