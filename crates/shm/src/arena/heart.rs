//! How the kernel tells others that this process is dead: one thread that does nothing, and its robust futex list.
//!
//! A thread can give the kernel a list of words in its memory (`set_robust_list`). When the thread ends, in whatever way
//! (its process is killed, exits, or calls exec), the kernel walks the list, marks each word that holds this thread's id
//! with `FUTEX_OWNER_DIED`, and wakes one of its sleepers. So a process needs one such thread, which is started with its
//! first arena, sleeps for ever, and ends only with the process.
//!
//! ```text
//! block of an arena:   [ private page       | page of the arena with our record ]
//!                        node ── constant distance (futex_offset) ──▶ alive
//! ```
//!
//! The list is linked through the *nodes*, which therefore stand in private memory: nobody else can bend it. The kernel finds
//! the word of a node at one distance for the whole list, so each arena's record is mapped once more, right behind a
//! private page. A block is never unmapped, but used again: the kernel may be on its way through the list at any instant,
//! and would give up at an address that isn't there.

use std::{
    io,
    os::fd::AsFd,
    ptr::NonNull,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

use super::ArenaError;
use crate::crash;

/// The kernel gives up after 2048 entries (`ROBUST_LIST_LIMIT`), lest a ring of them keep it busy.
const MAX_ARENAS: usize = 2000;

/// The one thread, and what is linked to it.
pub(super) struct Heart {
    thread: u32,
    head: &'static Head,
    page: usize,
    /// Changes of the list are made by one thread at a time. Each is one store, so the kernel needs no lock to walk it.
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    linked: Vec<Block>,
    spare: Vec<Block>,
}

/// The kernel's `robust_list_head`.
#[repr(C)]
struct Head {
    /// The first node, or this head itself.
    first: AtomicUsize,
    /// From a node to its word, in bytes.
    distance: usize,
    pending: usize,
}

/// Two pages side by side: a private one, and one of an arena (or a private one, while it is a spare).
#[derive(Clone, Copy, PartialEq, Eq)]
struct Block {
    start: NonNull<u8>,
    /// Of the node in the first page, and so of the word in the second.
    offset: usize,
}

// SAFETY: a block is an address of memory that is never unmapped; it is used under the lock of `links` alone.
unsafe impl Send for Block {}

/// A word that the kernel marks when this process dies.
pub(super) struct Pulse(Block);

// SAFETY: as for `Block`; nothing is done with a shared reference.
unsafe impl Sync for Pulse {}

impl Heart {
    /// Starts the thread.
    pub(super) fn start() -> Result<Self, ArenaError> {
        let page = rustix::param::page_size();
        let head = Box::leak(Box::new(Head { first: AtomicUsize::new(0), distance: page, pending: 0 }));
        let head: &'static Head = head;
        head.first.store(head.address(), Ordering::Relaxed);
        let (told, thread) = std::sync::mpsc::sync_channel(1);
        let beat = move || {
            let done = block_signals().and_then(|()| register(head));
            let failed = done.is_err();
            let _ = told.send(done.map(|()| rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()));
            if failed {
                return;
            }
            loop {
                std::thread::park();
            }
        };
        // The least stack that the standard library's own part fits into with ease.
        std::thread::Builder::new()
            .name("arena-heart".to_owned())
            .stack_size(64 * 1024)
            .spawn(beat)
            .map_err(ArenaError::Heart)?;
        let ended = |_| ArenaError::Heart(io::Error::other("it ended at once"));
        let thread = thread.recv().map_err(ended)?.map_err(ArenaError::Heart)?;
        Ok(Self { thread, head, page, links: Mutex::default() })
    }

    /// The thread's id, by which the kernel knows its words.
    pub(super) fn thread(&self) -> u32 {
        self.thread
    }

    /// Links the word at `offset` of an arena, and then has `claim` put this thread's id there. Until it stands there, the
    /// kernel lets the word be; once it does, the word is linked already.
    pub(super) fn link<T>(
        &self,
        memory: impl AsFd,
        offset: usize,
        claim: impl FnOnce() -> Option<T>,
    ) -> Result<Option<(T, Pulse)>, ArenaError> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if links.linked.len() >= MAX_ARENAS {
            return Err(ArenaError::TooManyArenas(links.linked.len()));
        }
        let start = match links.spare.last() {
            Some(block) => block.start,
            None => self.reserve()?,
        };
        if links.spare.is_empty() {
            links.spare.push(Block { start, offset: 0 });
        }
        self.show(start, memory, offset / self.page * self.page)?;
        links.spare.pop();
        let block = Block { start, offset: offset % self.page };
        // The walk goes on from a node that is about to be linked to whatever is behind it: so that is stored first.
        block.next().store(self.head.first.load(Ordering::Relaxed), Ordering::Release);
        crash::point();
        self.head.first.store(block.address(), Ordering::Release);
        links.linked.push(block);
        crash::point();
        match claim() {
            Some(claimed) => Ok(Some((claimed, Pulse(block)))),
            None => {
                self.unlink(&mut links, block);
                Ok(None)
            }
        }
    }

    /// Lets go of a word that doesn't hold this thread's id any more.
    pub(super) fn release(&self, pulse: &Pulse) {
        self.unlink(&mut self.links.lock().unwrap_or_else(PoisonError::into_inner), pulse.0);
    }

    fn unlink(&self, links: &mut Links, block: Block) {
        let mut before = &self.head.first;
        // The list is ours alone and as long as `linked`; the bound is for what can't be.
        for _ in 0..=links.linked.len() {
            let at = before.load(Ordering::Relaxed);
            if at == block.address() {
                before.store(block.next().load(Ordering::Relaxed), Ordering::Release);
                break;
            }
            match links.linked.iter().find(|linked| linked.address() == at) {
                Some(linked) => before = linked.next(),
                None => break,
            }
        }
        links.linked.retain(|linked| *linked != block);
        // Not the arena's page any more, so that its memory can go; but still an address.
        if self.hide(block.start).is_ok() {
            links.spare.push(block);
        }
    }

    fn reserve(&self) -> Result<NonNull<u8>, ArenaError> {
        let flags = MapFlags::PRIVATE;
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), 2 * self.page, readable_and_writable(), flags) };
        let start = start.map_err(|errno| ArenaError::Heart(errno.into()))?;
        NonNull::new(start.cast()).ok_or(ArenaError::Heart(io::Error::other("mapped at address 0")))
    }

    /// Puts a page of an arena into the second page of a block.
    fn show(&self, start: NonNull<u8>, memory: impl AsFd, offset: usize) -> Result<(), ArenaError> {
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the second page of a block that was reserved above and that is in nobody's use: no reference to it
        // exists, ever (only the kernel goes there).
        let shown = unsafe {
            let second = start.as_ptr().add(self.page).cast();
            mmap(second, self.page, readable_and_writable(), flags, memory, offset as u64)
        };
        shown.map(drop).map_err(|errno| ArenaError::Heart(errno.into()))
    }

    /// Puts an empty page there again.
    fn hide(&self, start: NonNull<u8>) -> Result<(), rustix::io::Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: as in `show`.
        unsafe { mmap_anonymous(start.as_ptr().add(self.page).cast(), self.page, readable_and_writable(), flags) }
            .map(drop)
    }
}

fn readable_and_writable() -> ProtFlags {
    ProtFlags::READ | ProtFlags::WRITE
}

impl Head {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).expose_provenance()
    }
}

impl Block {
    fn address(self) -> usize {
        self.start.as_ptr().expose_provenance() + self.offset
    }

    /// The node's link to the next one.
    fn next(self) -> &'static AtomicUsize {
        // SAFETY: in the first page of the block, which is private, zeroed at first, and never unmapped. Aligned: records
        // are 16 bytes, and so is what is left of their offset in a page. All accesses are atomic.
        unsafe { AtomicUsize::from_ptr(self.start.as_ptr().add(self.offset).cast()) }
    }
}

/// A handler must not run on this thread: it has next to no stack, and its only purpose is to be there.
fn block_signals() -> io::Result<()> {
    // SAFETY: an all-zero set is a valid value to be filled; the calls get pointers to it for their duration.
    let failed = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
}

/// Gives the kernel this thread's list. It replaces the one of the C library, whose robust mutexes this thread never takes.
fn register(head: &'static Head) -> io::Result<()> {
    // SAFETY: the head is never freed, and has the layout that the kernel expects, whose size goes with it.
    let failed = unsafe { libc::syscall(libc::SYS_set_robust_list, head.address(), size_of::<Head>()) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
