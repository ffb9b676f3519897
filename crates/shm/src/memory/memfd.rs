//! Memfds: how they come to be, and the seals that the other side relies on.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create},
    io::retry_on_intr,
};

use super::{Budget, Mapping, OverBudget};

/// Why memory could not be made or mapped.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// There isn't enough.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The kernel refused.
    #[error("{call} {bytes} bytes of shared memory: {source}")]
    System {
        /// The system call.
        call: &'static str,
        /// How much it was for.
        bytes: usize,
        /// What the kernel said.
        source: io::Error,
    },
    /// The memory that another process handed us isn't what it said.
    #[error("map {bytes} bytes that another process sent: {why}")]
    Alleged {
        /// How much it was said to be.
        bytes: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Who may still write after creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Only the mapping made here; everybody else can map it for reading only.
    OneWriter,
    /// Whoever is handed the descriptor. The size is fixed in any case.
    ManyWriters,
}

/// Makes `bytes` of zeroed memory, paid for at once, mapped here for writing, and sealed.
///
/// # Errors
///
/// [`MemoryError::OverBudget`] if there isn't enough, before any is taken; [`MemoryError::System`] otherwise.
///
/// ```
/// # fn main() -> Result<(), shm::memory::MemoryError> {
/// let (memory, descriptor) = shm::memory::create("example", 4096, shm::memory::Sealing::OneWriter)?;
/// let seen = shm::memory::Mapping::read_only(&descriptor, 4096)?;
/// assert_eq!(seen.len(), memory.len());
/// # Ok(()) }
/// ```
pub fn create(name: &str, bytes: usize, sealing: Sealing) -> Result<(Mapping, OwnedFd), MemoryError> {
    create_partly(name, bytes, bytes, sealing)
}

/// As [`create`], but only the first `paid_bytes` are paid for; [`pay`] does so for more.
pub(crate) fn create_partly(
    name: &str,
    bytes: usize,
    paid_bytes: usize,
    sealing: Sealing,
) -> Result<(Mapping, OwnedFd), MemoryError> {
    Budget::now().check(paid_bytes as u64)?;
    let descriptor =
        memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(failed("create", bytes))?;
    ftruncate(&descriptor, bytes as u64).map_err(failed("size", bytes))?;
    allocate(&descriptor, 0, paid_bytes as u64).map_err(failed("allocate", paid_bytes))?;
    let mapping = Mapping::writable(&descriptor, bytes, paid_bytes)?;
    let mut seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    if sealing == Sealing::OneWriter {
        seals |= SealFlags::FUTURE_WRITE;
    }
    fcntl_add_seals(&descriptor, seals).map_err(failed("seal", bytes))?;
    Ok((mapping, descriptor))
}

/// Pays for the bytes from `from` to `to` of memory that was made by [`create_partly`] and mapped as `mapping`.
pub(crate) fn pay(descriptor: impl AsFd, mapping: &Mapping, from: usize, to: usize) -> Result<(), MemoryError> {
    if to <= from {
        return Ok(());
    }
    reserve(descriptor, from, to)?;
    mapping.populate(to)
}

/// As [`pay`], without bringing anything in: each page comes when it is touched first.
pub(crate) fn reserve(descriptor: impl AsFd, from: usize, to: usize) -> Result<(), MemoryError> {
    let more = to.saturating_sub(from);
    if more == 0 {
        return Ok(());
    }
    Budget::now().check(more as u64)?;
    allocate(descriptor, from as u64, more as u64).map_err(failed("allocate", more))
}

/// Gives the bytes from `from` to `to` back to the system, and keeps the size: they read as zeros from now on.
pub(crate) fn give_back(descriptor: impl AsFd, from: usize, to: usize) -> Result<(), MemoryError> {
    let less = to.saturating_sub(from);
    if less == 0 {
        return Ok(());
    }
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    retry_on_intr(|| fallocate(&descriptor, how, from as u64, less as u64)).map_err(failed("give back", less))
}

/// In pieces, each anew if a signal interrupts it: the kernel undoes a piece that it doesn't finish, so that under a
/// frequent signal a large one would never be done.
fn allocate(descriptor: impl AsFd, from: u64, bytes: u64) -> rustix::io::Result<()> {
    const PIECE: u64 = 16 << 20;
    let pieces = (0..bytes).step_by(PIECE as usize);
    pieces
        .map(|done| (from + done, PIECE.min(bytes - done)))
        .try_for_each(|(from, piece)| retry_on_intr(|| fallocate(&descriptor, FallocateFlags::empty(), from, piece)))
}

fn failed(call: &'static str, bytes: usize) -> impl FnOnce(rustix::io::Errno) -> MemoryError {
    move |source| MemoryError::System { call, bytes, source: source.into() }
}
