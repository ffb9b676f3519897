//! How a child is signalled, and how its exit status is taken, also if somebody else in this process has taken it first
//! (a `waitpid(-1)` loop).

use std::{os::fd::AsFd, path::Path};

use rustix::{
    io::Errno,
    process::{Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_send_signal, waitid},
};

use crate::{Exit, launch::Launched};

impl Launched {
    /// Sends a signal to the process and to all of its group, once to each.
    ///
    /// The process gets it by its pidfd or as its group's leader. The group's number can't have gone to anybody else:
    /// while its leader isn't reaped, that keeps it, and if somebody else has reaped the leader, the kernel keeps the
    /// number while the group has a member.
    pub(crate) fn signal(&self, signal: Signal) {
        // An error can only be that it has ended. One that somebody else is just reaping may be gone for `waitid` and still be
        // found by its number; then a signal can be sent to it, and so it still has that number.
        let has_number = !self.is_leader() && pidfd_send_signal(&self.pidfd, signal).is_ok();
        let is_nobody = || !Path::new(&format!("/proc/{}", self.pid.as_raw_pid())).exists();
        if !self.is_reaped() || has_number || is_nobody() {
            let _ = kill_process_group(self.pid, signal);
        }
    }

    /// Whether a signal to the group reaches the process too: it may have gone to another.
    fn is_leader(&self) -> bool {
        !self.is_reaped() && shm::life::leads_group(self.pid)
    }

    fn is_reaped(&self) -> bool {
        let looks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::PidFd(self.pidfd.as_fd()), looks), Err(Errno::CHILD))
    }

    /// Takes the status of a child that has ended; what it has left of its own goes too.
    pub(crate) fn reap(&self) -> Exit {
        self.signal(Signal::KILL);
        match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::CHILD) => self.told_by_pidfd(),
            ended => Exit::from_wait(ended.ok().flatten()),
        }
    }

    /// What the pidfd remembers of a process that somebody else has reaped.
    fn told_by_pidfd(&self) -> Exit {
        shm::life::wait_status(&self.pidfd).map_or(Exit::Unknown, Exit::from_status)
    }
}
