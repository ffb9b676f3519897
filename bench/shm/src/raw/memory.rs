//! A mapped memfd.

use std::{
    os::fd::OwnedFd,
    ptr::{self, NonNull},
    sync::atomic::AtomicU64,
};

use bench::Outcome;
use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// Mapped for reading and writing until it is dropped.
pub struct Memory {
    start: NonNull<u8>,
    bytes: usize,
}

impl Memory {
    pub fn create(bytes: usize) -> Outcome<(Self, OwnedFd)> {
        let descriptor = memfd_create("bench", MemfdFlags::CLOEXEC)?;
        ftruncate(&descriptor, bytes as u64)?;
        Ok((Self::map(&descriptor, bytes)?, descriptor))
    }

    /// Maps memory that `create` made, so large.
    pub fn map(descriptor: &OwnedFd, bytes: usize) -> Outcome<Self> {
        let (read_write, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start = unsafe { mmap(ptr::null_mut(), bytes, read_write, shared, descriptor, 0) }?;
        Ok(Self { start: NonNull::new(start.cast()).ok_or("map memory: it is at address 0")?, bytes })
    }

    /// The word at `offset` bytes, which all processes access atomically.
    pub fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes, "no word at {offset} of {}", self.bytes);
        // SAFETY: inside the mapping, aligned, and only ever accessed atomically.
        unsafe { AtomicU64::from_ptr(self.start.as_ptr().add(offset).cast()) }
    }

    /// Copies bytes in.
    ///
    /// # Safety
    ///
    /// Nobody else accesses them now.
    pub unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.bytes, "bytes outside of the mapping");
        // SAFETY: inside the mapping, which no slice of ours overlaps; exclusive by the contract.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(offset), bytes.len()) };
    }

    /// The bytes there.
    ///
    /// # Safety
    ///
    /// Nobody writes them while the slice lives.
    pub unsafe fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        assert!(offset + length <= self.bytes, "bytes outside of the mapping");
        // SAFETY: inside the mapping, and not written by the contract.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(offset), length) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and every borrow of it has ended with `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
