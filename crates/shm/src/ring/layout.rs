//! Where the words of the protocol stand in the control memory and in a reader's page.

use std::{mem::size_of, ptr};

use super::{
    Info,
    protocol::{Control, ReaderWords},
};
use crate::{
    memory::Mapping,
    sync::{AtomicU32, AtomicU64},
};

/// So many slots a ring can ever have; the slot table is laid out for them at once. A header is 256 bytes, so this
/// costs 256 KiB of control memory, and allows 64 readers of 15 leases.
pub(super) const MAX_SLOTS: u32 = 1024;

/// One hazard word each; a page holds them with room to spare, and no sensible reader keeps more frames.
pub(super) const MAX_LEASES: u32 = 64;

/// A deeper ring is a recording, and belongs on a disk.
pub(super) const MAX_DEPTH: u32 = 512;

/// Words written by different parties, or read in a loop, stand this far apart: two cache lines, because the
/// hardware fetches lines in pairs.
const APART: usize = 128;

const HEAD: usize = 0;
const ENTRIES: usize = APART;
/// More than the deepest ring, because a new entry is written a moment before the head that makes the oldest one stale.
const ENTRY_COUNT: u64 = 2 * MAX_DEPTH as u64;
const SLOTS: usize = ENTRIES + ENTRY_COUNT as usize * 4;
const SLOT_BYTES: usize = 256;

/// The plain part of a slot's header. Written by the writer while it has the slot claimed; read under a lease.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed {
    /// Which segment the bytes are in, where, and how many.
    pub segment: u32,
    pub offset: u64,
    pub length: u64,
    pub info: Info,
}

const _: () = assert!(8 + size_of::<Placed>() <= SLOT_BYTES, "a slot's header must fit its place");

/// The control memory of a ring, seen from either side.
#[derive(Debug)]
pub(super) struct ControlMap(Mapping);

impl ControlMap {
    pub(super) const BYTES: usize = SLOTS + MAX_SLOTS as usize * SLOT_BYTES;

    /// # Panics
    ///
    /// If the mapping is shorter than [`BYTES`](Self::BYTES).
    pub(super) fn new(mapping: Mapping) -> Self {
        assert!(mapping.len() >= Self::BYTES, "control memory of {} bytes", mapping.len());
        Self(mapping)
    }

    fn slot(slot: u32) -> usize {
        assert!(slot < MAX_SLOTS, "slot {slot} of {MAX_SLOTS}");
        SLOTS + slot as usize * SLOT_BYTES
    }

    /// Describes a claimed slot.
    ///
    /// # Safety
    ///
    /// The caller is the ring's writer and has claimed `slot`: no reader holds it.
    pub(super) unsafe fn place(&self, slot: u32, placed: Placed) {
        // SAFETY: by the contract nobody else accesses this range now; it lies behind the sequence word.
        let bytes = unsafe { self.0.bytes_mut(Self::slot(slot) + 8, size_of::<Placed>()) };
        // SAFETY: the range is as large as `Placed` and aligned to 8, as the slot's start is.
        unsafe { ptr::write(bytes.as_mut_ptr().cast(), placed) };
    }

    /// Reads what describes a held slot.
    ///
    /// # Safety
    ///
    /// The caller holds a lease on `slot`, and the writer keeps to the protocol. Every bit pattern is a valid
    /// `Placed`, but its numbers are allegations until checked.
    pub(super) unsafe fn placed(&self, slot: u32) -> Placed {
        // SAFETY: by the contract nobody writes this range now.
        let bytes = unsafe { self.0.bytes(Self::slot(slot) + 8, size_of::<Placed>()) };
        // SAFETY: as large as `Placed`, aligned to 8, and integers only.
        unsafe { ptr::read(bytes.as_ptr().cast()) }
    }
}

impl Control for ControlMap {
    fn head(&self) -> &AtomicU64 {
        self.0.word64(HEAD)
    }
    fn entry(&self, sequence: u64) -> &AtomicU32 {
        self.0.word32(ENTRIES + (sequence % ENTRY_COUNT) as usize * 4)
    }
    fn sequence(&self, slot: u32) -> &AtomicU64 {
        self.0.word64(Self::slot(slot))
    }
    fn slots(&self) -> u32 {
        MAX_SLOTS
    }
}

const ARMED: usize = MAX_LEASES as usize * 4;
const COUNTS: usize = ARMED + APART;

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

    /// Read, dropped and skipped, in this order: written by the reader, an allegation to the writer.
    pub(super) fn counts(&self) -> [&AtomicU64; 3] {
        [0, 8, 16].map(|offset| self.mapping.word64(COUNTS + offset))
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
}
