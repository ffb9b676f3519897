//! What a peer without manners is made of: memory that it writes as it likes, every kind of descriptor, and messages that are
//! nearly right.
//!
//! The layout of the shared words and the messages are written down here once more, on purpose: they are what an attacker
//! knows. `main.rs` checks them against an honest ring.

use std::{
    fs::File,
    os::fd::OwnedFd,
    ptr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    fs::{
        FallocateFlags, MemfdFlags, OFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_setfl, ftruncate, memfd_create,
    },
    mm::{MapFlags, ProtFlags, mmap, munmap},
    process::{PidfdFlags, getpid, pidfd_open},
};
use serde::{Deserialize, Serialize};
use shm::{
    ring::{Late, Policy, Wish},
    wire::{Packet, Passed, Socket},
};

use crate::script::Script;

pub const VERSION: u32 = 3;

// The control memory.
pub const HEAD: usize = 0;
/// What stands there: a sequence, and its slot in the lower bits.
pub const fn head(sequence: u64, slot: u64) -> u64 {
    (sequence << 10) | (slot % (1 << 10))
}
pub const ENTRIES: usize = 128;
pub const ENTRY_COUNT: u64 = 1024;
pub const SLOTS: usize = ENTRIES + 4096;
pub const HEADER: usize = 256;
pub const MAX_SLOTS: u32 = 1024;
pub const INLINE: u32 = u32::MAX;

pub const fn control_bytes(inline_bytes: usize) -> usize {
    SLOTS + MAX_SLOTS as usize * (HEADER + inline_bytes)
}

// A reader's page.
pub const ARMED: usize = 256;
pub const DUE: usize = ARMED + 8;
pub const TAKEN: usize = ARMED + 128;
pub const WAITED_FOR: usize = TAKEN + 8;
pub const TURN: usize = TAKEN + 128;
pub const ACCOUNTS: usize = TURN + 8;
pub const PAGE: usize = 4096;

/// How memory is given away.
#[derive(Clone, Copy, Debug)]
pub struct Given {
    pub paid: bool,
    pub shrink: bool,
    pub write: bool,
}

pub const HONEST: Given = Given { paid: true, shrink: true, write: true };

/// A memfd that stays mapped for writing, whatever is sealed.
pub struct Wild {
    memory: OwnedFd,
    start: *mut u8,
    bytes: usize,
}

// SAFETY: what is reached through it is atomics.
unsafe impl Send for Wild {}
// SAFETY: as above.
unsafe impl Sync for Wild {}

impl Wild {
    pub fn new(bytes: usize, given: Given) -> Self {
        let memory = memfd_create("wild", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        ftruncate(&memory, bytes as u64).unwrap();
        if given.paid {
            fallocate(&memory, FallocateFlags::empty(), 0, bytes as u64).unwrap();
        }
        let wild = Self::map(memory, bytes).unwrap();
        let mut seals = SealFlags::GROW;
        seals.set(SealFlags::SHRINK, given.shrink);
        seals.set(SealFlags::FUTURE_WRITE, given.write);
        fcntl_add_seals(&wild.memory, seals).unwrap();
        wild
    }

    pub fn map(memory: OwnedFd, bytes: usize) -> rustix::io::Result<Self> {
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses.
        let start =
            unsafe { mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &memory, 0) }?;
        Ok(Self { memory, start: start.cast(), bytes })
    }

    pub fn passed(&self) -> Passed {
        Passed::new(self.memory.try_clone().unwrap())
    }

    pub fn put64(&self, offset: usize, value: u64) {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes);
        // SAFETY: inside the mapping, and aligned; only atomics reach it.
        unsafe { AtomicU64::from_ptr(self.start.add(offset).cast()) }.store(value, Ordering::SeqCst);
    }

    pub fn put32(&self, offset: usize, value: u32) {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes);
        // SAFETY: as in `put64`.
        unsafe { AtomicU32::from_ptr(self.start.add(offset).cast()) }.store(value, Ordering::SeqCst);
    }

    pub fn get64(&self, offset: usize) -> u64 {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes);
        // SAFETY: as in `put64`.
        unsafe { AtomicU64::from_ptr(self.start.add(offset).cast()) }.load(Ordering::SeqCst)
    }

    pub fn get32(&self, offset: usize) -> u32 {
        assert!(offset.is_multiple_of(4) && offset + 4 <= self.bytes);
        // SAFETY: as in `put64`.
        unsafe { AtomicU32::from_ptr(self.start.add(offset).cast()) }.load(Ordering::SeqCst)
    }

    /// Any word of the first `bytes`, to anything.
    pub fn scribble(&self, script: &mut Script<'_>, bytes: usize) {
        let offset = script.below(bytes.min(self.bytes) / 8) * 8;
        self.put64(offset, script.number());
    }
}

impl Drop for Wild {
    fn drop(&mut self) {
        // SAFETY: our own mapping; no borrow of it outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.bytes) };
    }
}

/// A descriptor of some kind.
pub fn descriptor(script: &mut Script<'_>) -> Passed {
    let memory = |given| Wild::new(PAGE, given).passed();
    match script.byte() % 14 {
        0 => Passed::new(bell()),
        1 => Passed::new(pidfd_open(getpid(), PidfdFlags::empty()).unwrap()),
        2 => memory(HONEST),
        3 => memory(Given { shrink: false, ..HONEST }),
        4 => memory(Given { paid: false, ..HONEST }),
        5 => memory(Given { write: false, ..HONEST }),
        6 => Passed::new(File::open("/dev/null").unwrap()),
        7 => Passed::new(File::open("/").unwrap()),
        8 => Passed::new(std::io::pipe().unwrap().0),
        9 => Passed::new(std::io::pipe().unwrap().1),
        10 => Passed::new(Socket::pair().unwrap().0.into_owned()),
        11 => Passed::new(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap()),
        12 => Passed::new(full_bell()),
        _ => Passed::new(File::open("/proc/self/stat").unwrap()),
    }
}

pub fn bell() -> OwnedFd {
    eventfd(1, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// One at which an addition would wait for ever.
pub fn full_bell() -> OwnedFd {
    let bell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&bell, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    fcntl_setfl(&bell, OFlags::empty()).unwrap();
    bell
}

pub fn policy(script: &mut Script<'_>) -> Policy {
    match script.byte() % 5 {
        0 => Policy::Latest,
        1 => Policy::DropOldest { depth: script.number() as u32 },
        2 => Policy::Every { n: script.number() as u32 },
        3 => Policy::MaxRate { period: Duration::from_nanos(script.number()) },
        // Longer would be a reader's right, and the test would have to wait for it.
        _ => {
            let late = if script.rarely(2) { Late::Drop } else { Late::Detach };
            Policy::Block { timeout: Duration::from_micros(u64::from(script.byte())), late }
        }
    }
}

/// A reader's message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Join {
    pub version: u32,
    pub wish: Wish,
    pub bell: Passed,
    pub life: Passed,
}

/// A writer's messages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Answer {
    Joined(Joining),
    Refused { why: String },
    Segment { id: u32, bytes: u64, memory: Passed },
    Retired { id: u32 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joining {
    pub depth: u32,
    pub epoch: u64,
    pub head: u64,
    pub inline_bytes: u32,
    pub control: Passed,
    pub page: Passed,
    pub room: Option<Passed>,
    pub life: Passed,
}

pub fn life() -> Passed {
    Passed::new(pidfd_open(getpid(), PidfdFlags::empty()).unwrap())
}

/// Spoils a message: its bytes, or its descriptors.
pub fn mutate(packet: &mut Packet, script: &mut Script<'_>) {
    for _ in 0..=script.byte() % 4 {
        let (bytes, descriptors) = (packet.bytes.len(), packet.descriptors.len());
        match script.byte() % 6 {
            0 if bytes > 0 => packet.bytes[script.below(bytes)] = script.byte(),
            1 if bytes > 0 => packet.bytes.truncate(script.below(bytes)),
            2 if bytes > 0 => packet.bytes[script.below(bytes)] ^= 1 << (script.byte() % 8),
            3 if descriptors > 0 => packet.descriptors.truncate(script.below(descriptors)),
            4 if descriptors > 0 => packet.descriptors[script.below(descriptors)] = descriptor(script),
            5 if descriptors > 1 => packet.descriptors.swap(0, script.below(descriptors)),
            _ => packet.bytes.extend(script.bytes(40)),
        }
    }
}
