//! Tells a process that was forked from the one it was forked from.
//!
//! A forked child has a copy of every handle, and the memory behind it is shared: used, or only dropped, such a copy would
//! let go of what its parent holds. So each handle remembers where it was made, and refuses to work elsewhere.

use std::{
    ptr::{self, NonNull},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// The handle was made before this process was forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "use a handle in a forked process: it belongs to the process that made it; start processes by exec (in Python: \
     the `spawn` start method), or make or receive the handle after the fork"
)]
pub struct Forked;

/// Where a handle was made: a number that no other process of one family of forks has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Birthplace(u64);

impl Birthplace {
    /// This process.
    pub(crate) fn here() -> Self {
        Self(current())
    }

    /// Says whether this is still the process of [`here`](Self::here). It costs a load.
    #[inline]
    pub(crate) fn check(self) -> Result<(), Forked> {
        if self.is_here() { Ok(()) } else { Err(Forked) }
    }

    /// As [`check`](Self::check), for what can't fail, such as a drop.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self.0 == current()
    }
}

/// How many processes of this family had a number before; a forked child inherits the count.
static NUMBERED: AtomicU64 = AtomicU64::new(0);

/// This process's number.
#[inline]
fn current() -> u64 {
    let word = word();
    match word.load(Ordering::Relaxed) {
        0 => number(word),
        number => number,
    }
}

#[cold]
fn number(word: &AtomicU64) -> u64 {
    let next = NUMBERED.fetch_add(1, Ordering::Relaxed) + 1;
    // Two threads may come here at once: the first one's number is it.
    word.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|number| number, |_| next)
}

/// A word that the kernel clears in every forked child.
fn word() -> &'static AtomicU64 {
    static WORD: OnceLock<&'static AtomicU64> = OnceLock::new();
    WORD.get_or_init(wiped_on_fork)
}

fn wiped_on_fork() -> &'static AtomicU64 {
    const PAGE: usize = 4096;
    // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
    let page = unsafe { mmap_anonymous(ptr::null_mut(), PAGE, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    let page = page.ok().and_then(|page| NonNull::new(page.cast::<u64>()));
    // SAFETY: the page was just mapped; the advice only says what a child finds there.
    match page.filter(|page| unsafe { madvise(page.as_ptr().cast(), PAGE, Advice::LinuxWipeOnFork) }.is_ok()) {
        // SAFETY: a page that stays mapped for good, aligned, zeroed, and used by nothing else.
        Some(page) => unsafe { AtomicU64::from_ptr(page.as_ptr()) },
        // No memory for a page: then forks can't be told, and everything else will fail in a moment anyway.
        None => Box::leak(Box::new(AtomicU64::new(0))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn here_stays_here() {
        let here = Birthplace::here();
        assert_eq!((here.check(), Birthplace::here()), (Ok(()), here));
        assert_eq!(std::thread::spawn(move || here.check()).join().unwrap(), Ok(()));
    }
}
