//! A mapped memfd, and the few ways in which the rest of the crate may touch it.

use std::{io, os::fd::AsFd, ptr::NonNull, sync::atomic::AtomicU8};

use rustix::{
    fs::{SealFlags, Stat, fcntl_get_seals, fstat, fstatfs},
    mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap},
};

use super::MemoryError;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// A range of shared memory, mapped until this value is dropped.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
    writable: bool,
}

// SAFETY: the mapping belongs to the process, not to a thread; what can be reached through `&Mapping` is atomics, or
// unsafe methods whose contract covers concurrent use.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of a memfd for reading only.
    ///
    /// # Errors
    ///
    /// [`MemoryError::Alleged`] if it is smaller than that, or could be made smaller later (it lacks the seal); then
    /// reading it could kill us. [`MemoryError::System`] if the kernel refuses.
    pub fn read_only(descriptor: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        check_size(&descriptor, bytes)?;
        Self::map(descriptor, bytes, bytes, false)
    }

    /// Maps the first `bytes` of a memfd for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`read_only`](Self::read_only), and [`MemoryError::System`] if it is sealed against writing.
    pub fn read_write(descriptor: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        check_size(&descriptor, bytes)?;
        Self::map(descriptor, bytes, bytes, true)
    }

    /// As [`read_write`](Self::read_write), without touching what isn't in use yet.
    pub(crate) fn read_write_as_it_comes(descriptor: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        check_size(&descriptor, bytes)?;
        Self::map(descriptor, bytes, 0, true)
    }

    /// Maps the first `bytes` of a memfd so that what is written there is this process's own.
    pub(crate) fn private(descriptor: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        check_size(&descriptor, bytes)?;
        let mapping = Self::map_as(descriptor, bytes, MapFlags::PRIVATE, true)?;
        // Populated for reading: for writing, each page would be copied.
        mapping.advise(bytes, Advice::LinuxPopulateRead)?;
        Ok(mapping)
    }

    /// As [`read_only`](Self::read_only), of memory that its sender has paid for and can't change the extent of any more. To
    /// read what isn't there makes the kernel take it then, at the reader's expense, or kill the reader.
    pub(crate) fn read_only_paid(descriptor: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        let (size, seals) = check_size(&descriptor, bytes)?;
        if !seals.intersects(SealFlags::FUTURE_WRITE | SealFlags::WRITE) {
            let why = "it isn't sealed against writing, so holes could be made in it";
            return Err(MemoryError::Alleged { bytes, why });
        }
        if u64::try_from(size.st_blocks).is_ok_and(|blocks| blocks.saturating_mul(512) < bytes as u64) {
            return Err(MemoryError::Alleged { bytes, why: "its sender hasn't paid for all of it" });
        }
        Self::map(descriptor, bytes, bytes, false)
    }

    /// As [`read_only`](Self::read_only), without touching what isn't in use yet.
    pub(crate) fn read_only_as_it_comes(descriptor: impl AsFd, bytes: usize) -> Result<Self, MemoryError> {
        check_size(&descriptor, bytes)?;
        Self::map(descriptor, bytes, 0, false)
    }

    /// Maps what [`create`](super::create) has just made, before it is sealed.
    pub(super) fn writable(descriptor: impl AsFd, bytes: usize, paid_bytes: usize) -> Result<Self, MemoryError> {
        Self::map(descriptor, bytes, paid_bytes, true)
    }

    fn map(descriptor: impl AsFd, bytes: usize, populated: usize, writable: bool) -> Result<Self, MemoryError> {
        let mapping = Self::map_as(descriptor, bytes, MapFlags::SHARED, writable)?;
        mapping.populate(populated)?;
        Ok(mapping)
    }

    fn map_as(descriptor: impl AsFd, bytes: usize, shared: MapFlags, writable: bool) -> Result<Self, MemoryError> {
        let failed = |call| move |source: rustix::io::Errno| MemoryError::System { call, bytes, source: source.into() };
        let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, protection, shared, descriptor, 0) }.map_err(failed("map"))?;
        let start =
            NonNull::new(start.cast::<u8>()).ok_or(MemoryError::Alleged { bytes, why: "mapped at address 0" })?;
        Ok(Self { start, bytes, writable })
    }

    /// Brings in the first `bytes`, so that touching them costs nothing later.
    pub(super) fn populate(&self, bytes: usize) -> Result<(), MemoryError> {
        let advice = if self.writable { Advice::LinuxPopulateWrite } else { Advice::LinuxPopulateRead };
        self.advise(bytes.min(self.bytes), advice)
    }

    fn advise(&self, bytes: usize, advice: Advice) -> Result<(), MemoryError> {
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range is our own mapping, and populating changes no content.
        match unsafe { madvise(self.start.as_ptr().cast(), bytes, advice) } {
            // Before 5.14 the advice is unknown; pages then come on first use, which `fallocate` has paid for.
            Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
            Err(errno) => Err(MemoryError::System { call: "populate", bytes, source: errno.into() }),
        }
    }

    /// Its size in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the kernel maps no empty range")]
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Where it begins, page-aligned, and valid for as long as this value: for those who lend it by other rules than Rust's.
    #[must_use]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Where `offset` is, for a hint to the processor.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn address(&self, offset: usize) -> *const u8 {
        self.start.as_ptr().wrapping_add(offset)
    }

    /// The 32-bit word at `offset` bytes.
    ///
    /// # Panics
    ///
    /// If it isn't aligned or doesn't lie inside: offsets are this crate's constants, never read from memory.
    #[inline]
    pub(crate) fn word32(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes, "no 32-bit word at {offset} of {}", self.bytes);
        // SAFETY: inside the mapping and aligned (the mapping is page-aligned), valid for as long as `self`. Every
        // access to this range, in any process, is atomic. Where the mapping is read-only, callers only load.
        unsafe { AtomicU32::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// The 64-bit word at `offset` bytes.
    ///
    /// # Panics
    ///
    /// As [`word32`](Self::word32).
    #[inline]
    pub(crate) fn word64(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "no 64-bit word at {offset} of {}", self.bytes);
        // SAFETY: as in `word32`.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// So many 64-bit words from there, checked once.
    fn words64(&self, offset: usize, count: usize) -> &[AtomicU64] {
        let end = count.checked_mul(8).and_then(|bytes| bytes.checked_add(offset));
        let fits = offset.is_multiple_of(8) && end.is_some_and(|end| end <= self.bytes);
        assert!(fits, "no {count} 64-bit words at {offset} of {}", self.bytes);
        // SAFETY: as in `word32`, for each of them: all lie inside.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset).cast(), count) }
    }

    /// Copies bytes out of memory that another process may be writing: what it writes meanwhile comes out mixed.
    ///
    /// # Panics
    ///
    /// If they don't lie inside, or `offset` isn't a multiple of 8.
    pub(crate) fn copy_out(&self, offset: usize, into: &mut [u8]) {
        let (words, rest) = into.as_chunks_mut::<8>();
        let places = self.words64(offset, words.len());
        for (word, place) in words.iter_mut().zip(places) {
            *word = place.load(Ordering::Relaxed).to_ne_bytes();
        }
        let start = offset + words.len() * 8;
        assert!(start + rest.len() <= self.bytes, "bytes outside of the mapping");
        for (index, byte) in rest.iter_mut().enumerate() {
            // SAFETY: inside the mapping, as just checked; accessed atomically.
            *byte = unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(start + index)) }.load(Ordering::Relaxed);
        }
    }

    /// Copies bytes into memory that other processes may be reading: what they read meanwhile comes out mixed.
    ///
    /// # Panics
    ///
    /// As [`copy_out`](Self::copy_out), or if the mapping is read-only.
    pub(crate) fn copy_in(&self, offset: usize, from: &[u8]) {
        assert!(self.writable, "the mapping is for reading only");
        let (words, rest) = from.as_chunks::<8>();
        for (word, place) in words.iter().zip(self.words64(offset, words.len())) {
            place.store(u64::from_ne_bytes(*word), Ordering::Relaxed);
        }
        let start = offset + words.len() * 8;
        assert!(start + rest.len() <= self.bytes, "bytes outside of the mapping");
        for (index, byte) in rest.iter().enumerate() {
            // SAFETY: inside the mapping, as just checked; accessed atomically.
            unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(start + index)) }.store(*byte, Ordering::Relaxed);
        }
    }

    /// The bytes from `offset`.
    ///
    /// # Panics
    ///
    /// If they don't lie inside: the caller checks what it was told.
    ///
    /// # Safety
    ///
    /// Nobody, in any process, writes them while the slice lives.
    pub(crate) unsafe fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        assert!(offset.checked_add(length).is_some_and(|end| end <= self.bytes), "bytes outside of the mapping");
        // SAFETY: inside the mapping; not written meanwhile, by this function's contract.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), length) }
    }

    /// The bytes from `offset`, to fill.
    ///
    /// # Panics
    ///
    /// If they don't lie inside, or the mapping is read-only.
    ///
    /// # Safety
    ///
    /// Nobody else, in any process, reads or writes them while the slice lives.
    #[expect(clippy::mut_from_ref, reason = "exclusive by the contract: slots of one mapping are lent one by one")]
    pub(crate) unsafe fn bytes_mut(&self, offset: usize, length: usize) -> &mut [u8] {
        assert!(self.writable && offset.checked_add(length).is_some_and(|end| end <= self.bytes), "bytes outside");
        // SAFETY: inside the mapping, which is writable; exclusive by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(offset), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and every borrow of it has ended with `self`. It can't fail for such a range.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

fn check_size(descriptor: impl AsFd, bytes: usize) -> Result<(Stat, SealFlags), MemoryError> {
    let system = |source: io::Error| MemoryError::System { call: "inspect", bytes, source };
    // The seals first: only memory has any. To ask a file for its size can wait for whoever is behind its file system.
    let seals = fcntl_get_seals(&descriptor).map_err(|errno| system(errno.into()))?;
    if !seals.contains(SealFlags::SHRINK) {
        return Err(MemoryError::Alleged { bytes, why: "it isn't sealed, so it could be truncated under us" });
    }
    let found = fstat(&descriptor).map_err(|errno| system(errno.into()))?;
    if bytes == 0 || u64::try_from(found.st_size).is_ok_and(|size| size < bytes as u64) {
        return Err(MemoryError::Alleged { bytes, why: "it is smaller than that" });
    }
    // A range of huge pages can be unmapped only as a whole, and to touch one that isn't there is a signal.
    const HUGETLBFS: u32 = 0x9584_58f6;
    if fstatfs(&descriptor).map_err(|errno| system(errno.into()))?.f_type as u32 == HUGETLBFS {
        return Err(MemoryError::Alleged { bytes, why: "it is of huge pages, which no ring uses" });
    }
    Ok((found, seals))
}
