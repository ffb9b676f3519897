//! A process that doesn't outlive its parent, nor does what it has started.
//!
//! The kernel's parent-death signal alone isn't enough: as SIGKILL it ends this process, before any of its threads could do
//! something about the programs that it has started. So the signal is one that continues a stopped process and otherwise does
//! nothing (SIGCONT), and its handler kills the whole process group. The handler runs on any thread, also while a thread
//! computes, and makes system calls only.

use std::{
    io,
    sync::atomic::{AtomicI32, Ordering},
};

use rustix::process::{Signal, getpid, getppid, kill_process, kill_process_group, set_parent_process_death_signal};

/// The parent, and the process that must not outlive it. A child that is forked from this one inherits the handler, and is
/// neither. Stored before the handler is installed, and by the kernel's own lock so before it runs.
static PARENT: AtomicI32 = AtomicI32::new(0);
static OWNER: AtomicI32 = AtomicI32::new(0);

/// From now on this process, and all of the process group that it leads, is killed when the process `parent` ends; at once, if
/// that isn't its parent (any more). It is for the thread that is there as long as the process, usually the main one.
///
/// Takes the signal SIGCONT, at which a process can still be continued. A program that this one starts, and that leaves for a
/// process group of its own, isn't found.
///
/// # Errors
///
/// If the kernel refuses the handler or the signal; nothing is changed then.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let parent = 4711; // as told by the parent itself: it may have ended before this process asks who it is
/// shm::parent::end_with(parent)?;
/// # Ok(()) }
/// ```
pub fn end_with(parent: i32) -> io::Result<()> {
    PARENT.store(parent, Ordering::Relaxed);
    OWNER.store(getpid().as_raw_pid(), Ordering::Relaxed);
    // SAFETY: all zeros is a value of this struct of numbers and a set of signals: none blocked, no flags.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = continued as extern "C" fn(libc::c_int) as usize;
    // System calls that it interrupts go on, and it uses the alternative stack of threads that have one.
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: `action` is whole, the old action isn't asked for, and the handler only makes system calls (see there).
    if unsafe { libc::sigaction(libc::SIGCONT, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    set_parent_process_death_signal(Some(Signal::CONT))?;
    end_if_orphaned(); // the parent may have ended before the line above
    Ok(())
}

/// It is continued: by somebody's order, or since a thread of its parent, or the parent, has ended.
extern "C" fn continued(_signal: libc::c_int) {
    end_if_orphaned();
}

/// System calls only, so that it can be called in a signal handler: no memory is allocated, no lock taken, nothing panics.
fn end_if_orphaned() {
    let parent = getppid().map_or(0, |parent| parent.as_raw_pid());
    if getpid().as_raw_pid() == OWNER.load(Ordering::Relaxed) && parent != PARENT.load(Ordering::Relaxed) {
        // If it doesn't lead a group, then there is none of this number.
        let _ = kill_process_group(getpid(), Signal::KILL);
        let _ = kill_process(getpid(), Signal::KILL);
    }
}
