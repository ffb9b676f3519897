//! A queue of words with one producer and one consumer, who spin: two counters and plain atomics. It survives no
//! crash, wakes nobody and knows no second reader.

use std::{hint, sync::atomic::Ordering};

use bench::Outcome;
use serde::{Deserialize, Serialize};
use shm::wire::Passed;

use super::memory::Memory;

/// How many items it holds.
const ITEMS: u64 = 1024;
const PUT: usize = 0;
/// Two cache lines away, as the hardware fetches lines in pairs.
const GOT: usize = 128;
const FIRST: usize = 256;
const BYTES: usize = FIRST + ITEMS as usize * 8;

/// The queue on its way to the other process.
#[derive(Debug, Serialize, Deserialize)]
pub struct SpscTicket(Passed);

/// One end.
pub struct Spsc {
    memory: Memory,
    /// How far this end has come.
    here: u64,
    /// How far the other end was seen: asked again only when that isn't enough.
    there: u64,
}

impl Spsc {
    pub fn create() -> Outcome<(Self, SpscTicket)> {
        let (memory, descriptor) = Memory::create(BYTES)?;
        Ok((Self { memory, here: 0, there: 0 }, SpscTicket(Passed::new(descriptor))))
    }

    pub fn put(&mut self, item: u64) {
        while self.here - self.there == ITEMS {
            // Acquire, with the Release in `get`: it was read before it is written again.
            self.there = self.memory.word(GOT).load(Ordering::Acquire);
            hint::spin_loop();
        }
        self.memory.word(FIRST + (self.here % ITEMS) as usize * 8).store(item, Ordering::Relaxed);
        self.here += 1;
        // Release, with the Acquire in `get`: the item comes before the count.
        self.memory.word(PUT).store(self.here, Ordering::Release);
    }

    pub fn get(&mut self) -> u64 {
        while self.here == self.there {
            // Acquire, with the Release in `put`.
            self.there = self.memory.word(PUT).load(Ordering::Acquire);
            hint::spin_loop();
        }
        let item = self.memory.word(FIRST + (self.here % ITEMS) as usize * 8).load(Ordering::Relaxed);
        self.here += 1;
        // Release, with the Acquire in `put`.
        self.memory.word(GOT).store(self.here, Ordering::Release);
        item
    }
}

impl SpscTicket {
    pub fn open(self) -> Outcome<Spsc> {
        let memory = Memory::map(&self.0.into_owned()?, BYTES)?;
        Ok(Spsc { memory, here: 0, there: 0 })
    }
}
