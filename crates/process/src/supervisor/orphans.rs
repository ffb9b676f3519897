//! What a child has started and left: killed with it, and then whoever inherits orphans must take its status. That is us as a
//! container's process 1, or as a subreaper; elsewhere there is nothing to take.

use std::time::{Duration, Instant};

use rustix::{
    io::Errno,
    process::{Pid, WaitId, WaitIdOptions, waitid},
};

/// One that is killed and not yet dead is looked at again after this, and then ever more seldom: nobody tells.
const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// The process groups of children that were reaped, while somebody in them lives.
#[derive(Debug, Default)]
pub(super) struct Orphans(Vec<Group>);

#[derive(Debug)]
struct Group {
    leader: Pid,
    look_at: Instant,
    delay: Duration,
}

impl Orphans {
    /// Takes what is left of a child that was killed with its group, and reaped.
    pub(super) fn of(&mut self, leader: Pid) {
        if !is_empty(leader) {
            self.0.push(Group { leader, look_at: Instant::now() + FIRST_DELAY, delay: FIRST_DELAY });
        }
    }

    /// Gives when to look again.
    pub(super) fn look(&mut self, now: Instant) -> Option<Instant> {
        self.0.retain_mut(|group| {
            if group.look_at > now {
                return true;
            }
            group.delay = (group.delay * 2).min(LONGEST_DELAY);
            group.look_at = now + group.delay;
            !is_empty(group.leader)
        });
        self.0.iter().map(|group| group.look_at).min()
    }
}

/// Takes the status of all that have ended, and says whether that were all.
///
/// Nobody is missed: a member's children in the group are ours before that member can be reaped. And the number can't have gone to
/// another group: the kernel keeps it while the group has a member.
fn is_empty(leader: Pid) -> bool {
    loop {
        match waitid(WaitId::Pgid(Some(leader)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}
