//! Where the words of the protocol stand in the control memory and in a reader's page.

use std::{mem::size_of, ptr, sync::Arc};

use super::{
    Info,
    policy::Progress,
    protocol::{Control, ReaderWords, SLOT_BITS},
};
use crate::{
    crash,
    memory::Mapping,
    sync::{AtomicU32, AtomicU64, Ordering, fence},
};

/// So many slots a ring can ever have; the slot table is laid out for them at once, and paid for as they come into use.
/// It allows 64 readers of 15 leases.
pub(super) const MAX_SLOTS: u32 = 1 << SLOT_BITS;

/// One hazard word each; a page holds them with room to spare, and no sensible reader keeps more frames.
pub(super) const MAX_LEASES: u32 = 64;

/// A deeper ring is a recording, and belongs on a disk.
pub(super) const MAX_DEPTH: u32 = 512;

/// For each frame the writer looks at every hazard word and every armed flag. For so many readers that is well under a
/// microsecond; for more, one of them should pass the frames on over a ring of its own.
pub(super) const MAX_READERS: usize = 64;

/// Words written by different parties, or read in a loop, stand this far apart: two cache lines, because the
/// hardware fetches lines in pairs.
const APART: usize = 128;

const HEAD: usize = 0;
const ENTRIES: usize = APART;
/// More than the deepest ring, because a new entry is written a moment before the head that makes the oldest one stale.
const ENTRY_COUNT: u64 = 2 * MAX_DEPTH as u64;
const SLOTS: usize = ENTRIES + ENTRY_COUNT as usize * 4;
const HEADER_BYTES: usize = 256;

/// Frames up to this size need no data memory: in a ring that is made for them they stand behind their slot's header.
pub(super) const MAX_INLINE_BYTES: usize = 1024;

/// The segment number of bytes that stand behind their slot's header.
pub(super) const INLINE: u32 = u32::MAX;

/// The plain part of a slot's header. Written by the writer while it has the slot claimed; read under a lease.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed {
    /// Which segment the bytes are in, where, and how many.
    pub segment: u32,
    pub offset: u64,
    pub length: u64,
    /// `CLOCK_MONOTONIC`, in nanoseconds, while there is a reader that wants to know; otherwise 0.
    pub published_ns: u64,
}

/// Where the publisher's description stands in a slot's header: behind the sequence word and what is read for every frame,
/// which are in one cache line with its times.
const INFO: usize = 8 + size_of::<Placed>();

const _: () =
    assert!(INFO + size_of::<Info>() <= HEADER_BYTES && INFO.is_multiple_of(8), "a header must fit its place");

/// The control memory of a ring, seen from either side.
#[derive(Debug)]
pub(super) struct ControlMap {
    mapping: Arc<Mapping>,
    /// From one slot's header to the next.
    stride: usize,
}

impl ControlMap {
    /// The size of the control memory of a ring whose slots have room for `inline_bytes`. It is laid out for as many slots
    /// as there can ever be; only what is in use is paid for.
    pub(super) fn bytes(inline_bytes: usize) -> usize {
        Self::end_of(MAX_SLOTS, inline_bytes)
    }

    /// Where the first `slots` slots end.
    pub(super) fn end_of(slots: u32, inline_bytes: usize) -> usize {
        SLOTS + slots as usize * (HEADER_BYTES + inline_bytes)
    }

    /// # Panics
    ///
    /// If the mapping is shorter than [`bytes`](Self::bytes), or `inline_bytes` isn't a multiple of 256, the alignment
    /// of a header.
    pub(super) fn new(mapping: Mapping, inline_bytes: usize) -> Self {
        assert!(
            mapping.len() >= Self::bytes(inline_bytes) && inline_bytes.is_multiple_of(HEADER_BYTES),
            "control memory of {} bytes for {inline_bytes} inline",
            mapping.len()
        );
        Self { mapping: Arc::new(mapping), stride: HEADER_BYTES + inline_bytes }
    }

    fn slot(&self, slot: u32) -> usize {
        assert!(slot < MAX_SLOTS, "slot {slot} of {MAX_SLOTS}");
        SLOTS + slot as usize * self.stride
    }

    /// Where the room behind a slot's header begins.
    pub(super) fn inline_at(slot: u32, inline_bytes: usize) -> usize {
        Self::end_of(slot, inline_bytes) + HEADER_BYTES
    }

    /// The room behind a slot's header: where it begins in [`memory`](Self::memory), and how large it is.
    pub(super) fn inline(&self, slot: u32) -> (usize, usize) {
        (self.slot(slot) + HEADER_BYTES, self.stride - HEADER_BYTES)
    }

    pub(super) fn memory(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Describes a claimed slot.
    ///
    /// # Safety
    ///
    /// The caller is the ring's writer and has claimed `slot`: no reader holds it.
    pub(super) unsafe fn place(&self, slot: u32, placed: Placed, info: Info) {
        // SAFETY: by the contract nobody else accesses this range now; it lies behind the sequence word.
        let bytes = unsafe { self.mapping.bytes_mut(self.slot(slot) + 8, size_of::<Placed>() + size_of::<Info>()) };
        let (placed_bytes, info_bytes) = bytes.split_at_mut(size_of::<Placed>());
        // SAFETY: the range is as large as `Placed` and aligned to 8, as the slot's start is.
        unsafe { ptr::write(placed_bytes.as_mut_ptr().cast(), placed) };
        // SAFETY: as above, for `Info`: `INFO` is a multiple of 8.
        unsafe { ptr::write(info_bytes.as_mut_ptr().cast(), info) };
    }

    /// The publisher's description of a held slot.
    ///
    /// # Safety
    ///
    /// The caller holds a lease on `slot` while the reference lives, and the writer keeps to the protocol.
    pub(super) unsafe fn info(&self, slot: u32) -> &Info {
        // SAFETY: by the contract nobody writes this range now.
        let bytes = unsafe { self.mapping.bytes(self.slot(slot) + INFO, size_of::<Info>()) };
        // SAFETY: as large as `Info`, aligned to 8, and integers only: every bit pattern is one.
        unsafe { &*bytes.as_ptr().cast() }
    }

    /// Reads what describes a held slot. Its numbers are allegations until checked; a writer that breaks the protocol and
    /// writes them meanwhile gets a mixture checked, and that very mixture is used.
    pub(super) fn placed(&self, slot: u32) -> Placed {
        let mut bytes = [0; size_of::<Placed>()];
        self.mapping.copy_out(self.slot(slot) + 8, &mut bytes);
        // SAFETY: as large as `Placed`, which is integers only: every bit pattern is one.
        unsafe { ptr::read_unaligned(bytes.as_ptr().cast()) }
    }
}

impl Control for ControlMap {
    fn head(&self) -> &AtomicU64 {
        self.mapping.word64(HEAD)
    }
    fn entry(&self, sequence: u64) -> &AtomicU32 {
        self.mapping.word32(ENTRIES + (sequence % ENTRY_COUNT) as usize * 4)
    }
    fn sequence(&self, slot: u32) -> &AtomicU64 {
        self.mapping.word64(self.slot(slot))
    }
    fn slots(&self) -> u32 {
        MAX_SLOTS
    }
    fn expect(&self, slot: u32) {
        #[cfg(target_arch = "x86_64")]
        for offset in [0, HEADER_BYTES] {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let at = self.mapping.address(self.slot(slot) + offset);
            // SAFETY: a hint, which reads nothing, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = slot;
    }
}

const ARMED: usize = MAX_LEASES as usize * 4;
const DUE: usize = ARMED + 8;
const TAKEN: usize = ARMED + APART;
const WAITED_FOR: usize = TAKEN + 8;
const TURN: usize = TAKEN + APART;
/// Two accounts of three words, of which the one that `TURN` names stands.
const ACCOUNTS: usize = TURN + 8;

/// One reader's page, seen from either side.
#[derive(Debug)]
pub(super) struct ReaderPage {
    mapping: Mapping,
    leases: u32,
}

impl ReaderPage {
    pub(super) const BYTES: usize = 4096;

    /// # Panics
    ///
    /// If the mapping is shorter than a page, or `leases` are more than [`MAX_LEASES`].
    pub(super) fn new(mapping: Mapping, leases: u32) -> Self {
        assert!(mapping.len() >= Self::BYTES && leases <= MAX_LEASES, "{} bytes, {leases} leases", mapping.len());
        Self { mapping, leases }
    }

    fn account(&self, turn: u64) -> [&AtomicU64; 3] {
        [0, 8, 16].map(|offset| self.mapping.word64(ACCOUNTS + (turn % 2) as usize * 24 + offset))
    }

    /// Shows the reader's account. Only the reader does this.
    pub(super) fn show(&self, progress: &Progress) {
        let turn = self.mapping.word64(TURN).load(Ordering::Relaxed).wrapping_add(1);
        // SYNC POINT C: the turn before was shown before this account is overwritten, and this account is written before its
        // turn is shown. So one account is always whole, also if the reader dies between any two of these lines.
        fence(Ordering::Release);
        let values = [progress.cursor, progress.read, progress.dropped];
        for (word, value) in self.account(turn).into_iter().zip(values) {
            word.store(value, Ordering::Relaxed);
            crash::point();
        }
        self.mapping.word64(TURN).store(turn, Ordering::Release);
    }

    /// The account as the reader last showed it: an allegation.
    pub(super) fn shown(&self, first: u64) -> Progress {
        let read = || {
            // SYNC POINT C, the writer's half.
            let turn = self.mapping.word64(TURN).load(Ordering::Acquire);
            let [cursor, read, dropped] = self.account(turn).map(|word| word.load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            let same = self.mapping.word64(TURN).load(Ordering::Relaxed) == turn;
            (Progress { first, cursor, read, dropped }, same)
        };
        // A reader takes longer for a frame than we for three words; one that doesn't, plays with us.
        const ATTEMPTS: u32 = 1000;
        (1..ATTEMPTS).map(|_| read()).find_map(|(progress, same)| same.then_some(progress)).unwrap_or_else(|| read().0)
    }
}

impl ReaderWords for ReaderPage {
    fn hazard(&self, lease: u32) -> &AtomicU32 {
        assert!(lease < self.leases, "lease {lease} of {}", self.leases);
        self.mapping.word32(lease as usize * 4)
    }
    fn leases(&self) -> u32 {
        self.leases
    }
    fn armed(&self) -> &AtomicU32 {
        self.mapping.word32(ARMED)
    }
    fn due(&self) -> &AtomicU64 {
        self.mapping.word64(DUE)
    }
    fn taken(&self) -> &AtomicU64 {
        self.mapping.word64(TAKEN)
    }
    fn waited_for(&self) -> &AtomicU32 {
        self.mapping.word32(WAITED_FOR)
    }
}
