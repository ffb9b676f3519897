//! A second process made of this one, as `fork` makes it, but as a child of this one's *parent*.
//!
//! For a launcher: a small process with one thread that an application starts once, and that makes the application's
//! children by copying itself. They are the application's own: it waits for them, and they don't end with the launcher.
//!
//! `fork` can't do that, so this calls `clone3` itself, and does for the C library what `fork` would have done. In a process
//! with one thread that is little:
//!
//! | what `fork` does (glibc 2.36, `_Fork` and `__libc_fork`) | here |
//! |---|---|
//! | the thread's cached number is written anew (`CLONE_CHILD_SETTID` to its place) | the same, place and flag |
//! | the kernel clears it at the thread's end (`CLONE_CHILD_CLEARTID`) | the same |
//! | the robust list is registered again: the kernel forgets it in a copy | the same, `Kept::restore` |
//! | locks of the allocator, of streams and of the loader are taken, so that no other thread holds them | there is none |
//! | `pthread_atfork` handlers are called | they aren't; what needs them can't be started by a launcher |
//! | random numbers of the vDSO are thrown away | the kernel wipes their page itself |
//!
//! Registrations of `rseq` and of the alternative signal stack are the kernel's to copy. Other C libraries may keep
//! something else at that place (musl has a lock there): what isn't this thread's number isn't touched, and it is refused.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    ptr,
};

use rustix::process::Pid;

use crate::call;

/// Which of the two this is.
#[derive(Debug)]
pub enum Twin {
    /// The one that was there before; this is the other.
    Original {
        /// Its number.
        pid: Pid,
        /// It itself, whatever becomes of the number. It closes on exec.
        pidfd: OwnedFd,
    },
    /// The new one. An error is that it isn't what it should be; it should end, without a word to anybody.
    Copy(Result<(), CloneError>),
}

/// A process could not be copied, or changed as only one with a single thread can be.
#[derive(Debug, thiserror::Error)]
pub enum CloneError {
    /// There are others, whose locks and whose work a copy would have without having them.
    #[error("copy a process with {0} threads: only one with a single thread can be; start none before")]
    Threads(usize),
    /// The C library doesn't keep what it is known to keep, where it is known to.
    #[error("copy a process: {0}; this needs glibc")]
    Library(&'static str),
    /// A variable's name or value that no environment can hold.
    #[error("set the variable {0:?}: a name has a character at least, and no =; neither has a zero byte")]
    Variable(OsString),
    /// The kernel refuses.
    #[error("copy a process: {0}")]
    System(#[from] io::Error),
}

/// Makes a copy of this process. Both return from here. The copy is a child of this process's parent (of the thread that
/// started this process, which is what its parent-death signal goes by), with the memory, descriptors, environment and
/// group of this process; it has no parent-death signal yet.
///
/// # Errors
///
/// [`CloneError::Threads`] if this process has more than one, [`CloneError::Library`] if it isn't glibc's, and what the kernel
/// says: a filter may forbid `clone3`, and the first process of a container can't have siblings.
///
/// ```
/// use shm::clone::{CloneError, twin};
/// // The program that runs this example has threads, so it is refused:
/// std::thread::scope(|scope| {
///     scope.spawn(|| assert!(matches!(twin(), Err(CloneError::Threads(2..)))));
/// });
/// ```
pub fn twin() -> Result<Twin, CloneError> {
    alone()?;
    let kept = Kept::of_this_thread()?;
    let mut pidfd: RawFd = -1;
    let arguments = Arguments {
        flags: (libc::CLONE_PARENT | libc::CLONE_PIDFD | libc::CLONE_CHILD_SETTID | libc::CLONE_CHILD_CLEARTID) as u64,
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        child_tid: kept.tid as u64,
        // With CLONE_PARENT the signal at its end is this process's own, and must not be given. No stack: it goes on with
        // its copy of this one, since memory isn't shared (no CLONE_VM).
        ..Arguments::default()
    };
    // SAFETY: the structure is the kernel's of its first version, whose size goes with it. The kernel writes a descriptor to
    // `pidfd`, which lives until this function returns, and, in the copy's memory alone, the copy's number to `tid`, where
    // `of_this_thread` has just found this thread's number: four bytes that the C library keeps for that purpose. The copy
    // has memory of its own, and no thread of this process is missing there, since there is only this one.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) };
    if pid == 0 {
        return Ok(Twin::Copy(kept.restore()));
    }
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| call::failed("clone3")(io::Error::last_os_error()))?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(Twin::Original { pid, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

/// Says whether what the kernel and the C library know of this process's thread is true: what [`twin`] needs, and what a copy
/// must be able to say of itself.
///
/// # Errors
///
/// As [`twin`]'s.
pub fn check() -> Result<(), CloneError> {
    alone()?;
    let kept = Kept::of_this_thread()?;
    if kept.robust.0 == 0 { Err(CloneError::Library("no robust list is registered")) } else { Ok(()) }
}

/// Ends this process at once: nothing that was registered for its exit is done, and nothing that is buffered is written.
pub fn leave(code: i32) -> ! {
    // SAFETY: `_exit` does nothing in this process but end it.
    unsafe { libc::_exit(code) }
}

/// Sets these variables of this process's environment, and takes those without a value away.
///
/// # Errors
///
/// [`CloneError::Threads`] if there are other threads: they could be reading it. [`CloneError::Variable`] if one can't be; the ones
/// before it are set then.
pub fn set_environment(changes: &[(OsString, Option<OsString>)]) -> Result<(), CloneError> {
    alone()?;
    for (name, value) in changes {
        let no_value = OsString::new();
        let (key, text) = (name.as_bytes(), value.as_ref().unwrap_or(&no_value).as_bytes());
        if key.is_empty() || key.contains(&b'=') || key.contains(&0) || text.contains(&0) {
            return Err(CloneError::Variable(name.clone()));
        }
        match value {
            // SAFETY: this is the only thread, so nobody reads the environment meanwhile.
            Some(value) => unsafe { std::env::set_var(name, value) },
            // SAFETY: as above.
            None => unsafe { std::env::remove_var(name) },
        }
    }
    Ok(())
}

/// Where this process's arguments are, as `ps` and `/proc/PID/cmdline` show them. A copy has its own at the same place.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    start: usize,
    room: usize,
}

impl Title {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// If `/proc` isn't there, or says nothing that can be.
    pub fn of_this_process() -> Result<Self, CloneError> {
        /// Far beyond any title, and far below what could reach out of the stack's mapping by mistake.
        const MAX_BYTES: usize = 128 * 1024;
        let stat = fs::read_to_string("/proc/self/stat").map_err(call::failed("read /proc/self/stat"))?;
        // Fields 48 and 49. The second one, which may hold anything, ends with the last parenthesis.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(45);
        let mut field = || fields.next().and_then(|field| field.parse::<usize>().ok()).unwrap_or(0);
        let (start, end) = (field(), field());
        let room = end.saturating_sub(start);
        if start == 0 || room == 0 || room > MAX_BYTES {
            return Err(CloneError::System(io::Error::other(format!("arguments at {start:#x} to {end:#x}"))));
        }
        Ok(Self { start, room })
    }

    /// Replaces them by these words. What doesn't fit into the room of the original ones is cut.
    ///
    /// # Errors
    ///
    /// [`CloneError::Threads`] if there are other threads: they could be reading them.
    pub fn set(self, words: &[&[u8]]) -> Result<(), CloneError> {
        alone()?;
        let mut title = words.join(&0);
        // The last byte stays zero: otherwise the kernel takes what is behind it (the environment) for a part of it.
        title.resize(self.room - 1, 0);
        title.push(0);
        let place = ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel said, to this process or to the one that it is a copy of, that the strings of its arguments are
        // there: writable memory at the bottom of the first thread's stack, which is never unmapped. Rust has no references
        // to it (`std::env::args` copies), and this is the only thread. C code that kept a pointer to an argument finds a
        // string there that ends within the room.
        unsafe { ptr::copy_nonoverlapping(title.as_ptr(), place, self.room) };
        Ok(())
    }
}

/// The kernel's `struct clone_args` of its first version (Linux 5.3).
#[derive(Default)]
#[repr(C)]
struct Arguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// What the kernel holds for the C library of this thread, and what a copy must be given again.
struct Kept {
    /// Where the C library keeps the thread's number, for the kernel to clear at its end.
    tid: usize,
    /// Address and size of the head of the list of robust mutexes; 0 if there is none.
    robust: (usize, usize),
}

impl Kept {
    fn of_this_thread() -> Result<Self, CloneError> {
        let mut tid = 0_usize;
        // SAFETY: the kernel writes an address to `tid`.
        if unsafe { libc::prctl(libc::PR_GET_TID_ADDRESS, &raw mut tid) } != 0 {
            return Err(call::failed("prctl(PR_GET_TID_ADDRESS)")(io::Error::last_os_error()).into());
        }
        if tid == 0 || !tid.is_multiple_of(align_of::<i32>()) {
            return Err(CloneError::Library("its thread's number has no place"));
        }
        // SAFETY: the C library has given the kernel this address of an `int` for as long as this thread lives.
        let number = unsafe { ptr::with_exposed_provenance::<i32>(tid).read_volatile() };
        if number != rustix::thread::gettid().as_raw_nonzero().get() {
            return Err(CloneError::Library("its thread's number isn't where it should be"));
        }
        let mut robust = (0_usize, 0_usize);
        let (head, length) = (&raw mut robust.0, &raw mut robust.1);
        // SAFETY: of thread 0, which is the calling one, the kernel writes an address and a length.
        if unsafe { libc::syscall(libc::SYS_get_robust_list, 0, head, length) } != 0 {
            return Err(call::failed("get_robust_list")(io::Error::last_os_error()).into());
        }
        // SAFETY: a registered head stays where it is while its thread lives; its first word is the list's first entry.
        if robust.0 != 0 && unsafe { ptr::with_exposed_provenance::<usize>(robust.0).read_volatile() } != robust.0 {
            // The copy would take itself for their owner too.
            return Err(CloneError::Library("robust mutexes are locked"));
        }
        Ok(Self { tid, robust })
    }

    /// In the copy: gives the kernel the list again, at the same address, where the copy has its own.
    fn restore(&self) -> Result<(), CloneError> {
        let (head, length) = self.robust;
        if head == 0 {
            return Ok(());
        }
        // SAFETY: the address and the length are what the C library itself had registered, in the memory that this is a copy
        // of; the list is empty.
        match unsafe { libc::syscall(libc::SYS_set_robust_list, head, length) } {
            0 => Ok(()),
            _ => Err(call::failed("set_robust_list")(io::Error::last_os_error()).into()),
        }
    }
}

/// Says whether this thread is the only one. If it is, none can come to be but by what this thread does.
fn alone() -> Result<(), CloneError> {
    // SAFETY: `unshare` of a thread from its group does nothing at all if it is alone there, and fails if it isn't.
    if unsafe { libc::unshare(libc::CLONE_THREAD) } == 0 {
        return Ok(());
    }
    // Others are there; or a filter forbids the call, and they must be counted, which takes ten times as long.
    match fs::read_dir("/proc/self/task").map_err(call::failed("read /proc/self/task"))?.count() {
        1 => Ok(()),
        threads => Err(CloneError::Threads(threads)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest is in `tests/clone.rs`: only a program with one thread can do it.
    #[test]
    fn a_process_with_threads_is_refused() {
        std::thread::scope(|scope| {
            let threads = |error: Option<CloneError>| matches!(error, Some(CloneError::Threads(2..)));
            scope.spawn(move || {
                assert!(threads(twin().err()));
                assert!(threads(check().err()));
                let title = Title::of_this_process().unwrap();
                assert!(threads(title.set(&[b"title"]).err()));
                assert!(threads(set_environment(&[(OsString::from("A"), None)]).err()));
            });
        });
    }
}
