//! A reader's hold on a published frame.

use std::{fmt, sync::Arc};

use super::{
    Info,
    layout::{ControlMap, ReaderPage},
    protocol,
    session::Line,
};
use crate::{
    fork::{Birthplace, Forked},
    memory::Mapping,
    sync::{AtomicU64, Ordering},
    wire::Passed,
};

/// What a reader and its frames share: all of it stays until the last of them is dropped.
#[derive(Debug)]
pub(super) struct Joined {
    pub control: ControlMap,
    pub page: ReaderPage,
    pub depth: u32,
    pub epoch: u64,
    /// Open as long as a frame is held: its end is what tells the writer that all holds are over.
    #[expect(dead_code, reason = "kept open, not used")]
    pub session: Arc<Line>,
    /// Rung when a frame is taken that the writer waits for.
    pub room: Option<Passed>,
    /// The writer's pidfd.
    pub life: Passed,
    pub birthplace: Birthplace,
    /// One bit for each hazard word that is in use.
    pub held: AtomicU64,
}

impl Joined {
    /// Takes a free hazard word.
    pub(super) fn take_lease(&self) -> Option<u32> {
        let leases = protocol::ReaderWords::leases(&self.page);
        let mut held = self.held.load(Ordering::Relaxed);
        loop {
            let lease = held.trailing_ones();
            if lease >= leases {
                return None;
            }
            match self.held.compare_exchange_weak(held, held | 1 << lease, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(lease),
                Err(now) => held = now,
            }
        }
    }

    /// Clears a hazard word and gives it back.
    pub(super) fn give_back(&self, lease: u32) {
        if !self.birthplace.is_here() {
            return; // a forked child's copy: the hold is its parent's
        }
        protocol::release(&self.page, lease);
        // Release, with the Acquire in `take_lease`: the word is clear before the next lease sets it.
        self.held.fetch_and(!(1 << lease), Ordering::Release);
    }
}

/// A published frame, held: its bytes don't change and its slot isn't reused until the last clone is dropped, even
/// if the writer dies meanwhile.
#[derive(Clone)]
pub struct Frame(Arc<Held>);

struct Held {
    joined: Arc<Joined>,
    lease: u32,
    slot: u32,
    sequence: u64,
    segment: Arc<Mapping>,
    offset: usize,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.joined.give_back(self.lease);
    }
}

impl Frame {
    /// # Safety
    ///
    /// `lease` holds `slot`, which stands at `place`, and belongs to this frame from now on.
    pub(super) unsafe fn new(
        joined: Arc<Joined>,
        lease: u32,
        slot: u32,
        sequence: u64,
        place: (Arc<Mapping>, usize, usize),
    ) -> Self {
        let (segment, offset, bytes) = place;
        Self(Arc::new(Held { joined, lease, slot, sequence, segment, offset, bytes }))
    }

    /// Says whether this process may read it: [`bytes`](Self::bytes) and [`info`](Self::info) panic where not.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a process that was forked since it was taken.
    pub fn check(&self) -> Result<(), Forked> {
        self.0.joined.birthplace.check()
    }

    /// Its bytes, in the shared memory itself.
    ///
    /// # Panics
    ///
    /// In a forked process: the hold on the bytes is its parent's, which may let go of them at any time.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        if let Err(forked) = self.0.joined.birthplace.check() {
            panic!("could not {forked}");
        }
        // SAFETY: the lease keeps a writer that follows the protocol from writing the slot, and the mapping is kept
        // by `segment`. A writer that breaks the protocol could change the bytes under us; a ring is only as
        // honest as the process at its writing end.
        unsafe { self.0.segment.bytes(self.0.offset, self.0.bytes) }
    }

    /// What its publisher says of it, in the shared memory itself.
    ///
    /// # Panics
    ///
    /// As [`bytes`](Self::bytes).
    #[must_use]
    pub fn info(&self) -> &Info {
        if let Err(forked) = self.0.joined.birthplace.check() {
            panic!("could not {forked}");
        }
        // SAFETY: as in `bytes`.
        unsafe { self.0.joined.control.info(self.0.slot) }
    }

    /// Its number in the ring: 1, 2, 3, … without gaps as published.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// Which ring it is from; a restarted writer's ring has another.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.joined.epoch
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("sequence", &self.0.sequence)
            .field("bytes", &self.0.bytes)
            .field("info", self.info())
            .finish_non_exhaustive()
    }
}
