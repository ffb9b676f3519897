//! Bytes by plain shared memory: two buffers in turn, a word that says which is the newest, an eventfd to wake by.
//! It checks nothing: the writer relies on being answered before it writes again.

use std::{hint, sync::atomic::Ordering};

use bench::{
    Outcome,
    doorbells::{blocking, ring, wait},
};
use serde::{Deserialize, Serialize};
use shm::wire::Passed;

use super::memory::Memory;
use crate::ways::{self, Ends, Lane, Reads, Wait, Writes};

#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket {
    memory: Passed,
    bell: Passed,
}

/// Where the word is that counts what was written.
const COUNT: usize = 0;

/// Where payloads stand. A small one stands beside the count, as it then comes with the same cache line; a large one goes
/// round in two buffers, as it does in a ring of depth 1.
#[derive(Clone, Copy)]
struct Layout {
    first: usize,
    place: usize,
    places: usize,
}

const PAGE: usize = 4096;

struct Writing {
    memory: Memory,
    layout: Layout,
    count: u64,
    bells: Vec<Passed>,
    wait: Wait,
}

pub struct Reading {
    memory: Memory,
    layout: Layout,
    count: u64,
    bell: Passed,
    wait: Wait,
}

pub fn open(lane: &Lane) -> Outcome<Ends> {
    let layout = Layout::of(lane.bytes);
    let (memory, descriptor) = Memory::create(layout.size())?;
    let descriptor = Passed::new(descriptor);
    let bells = (0..lane.readers).map(|_| Ok(Passed::new(blocking()?))).collect::<Outcome<Vec<_>>>()?;
    let ticket = |bell: &Passed| ways::Ticket::Raw(Ticket { memory: descriptor.clone(), bell: bell.clone() });
    let tickets = bells.iter().map(ticket).collect();
    Ok((Box::new(Writing { memory, layout, count: 0, bells, wait: lane.wait }), tickets))
}

impl Layout {
    fn of(bytes: usize) -> Self {
        if bytes < PAGE {
            Self { first: 8, place: bytes.next_multiple_of(8), places: 1 }
        } else {
            Self { first: PAGE, place: bytes.next_multiple_of(PAGE), places: 2 }
        }
    }

    fn size(self) -> usize {
        self.first + self.places * self.place
    }

    fn offset(self, count: u64) -> usize {
        self.first + count as usize % self.places * self.place
    }
}

impl Ticket {
    pub fn open(self, lane: &Lane) -> Outcome<Reading> {
        let layout = Layout::of(lane.bytes);
        let memory = Memory::map(&self.memory.into_owned()?, layout.size())?;
        Ok(Reading { memory, layout, count: 0, bell: self.bell, wait: lane.wait })
    }
}

impl Writes for Writing {
    fn write(&mut self, payload: &[u8]) -> Outcome {
        assert!(payload.len() <= self.layout.place, "a lane for {} bytes", self.layout.place);
        self.count += 1;
        // SAFETY: all readers have answered what stood there.
        unsafe { self.memory.write(self.layout.offset(self.count), payload) };
        // Release, with the Acquire in `read`: the payload comes before the count.
        self.memory.word(COUNT).store(self.count << 32 | payload.len() as u64, Ordering::Release);
        if self.wait == Wait::Asleep {
            self.bells.iter().try_for_each(ring)?;
        }
        Ok(())
    }
}

impl Reads for Reading {
    fn read(&mut self, look: &mut dyn FnMut(&[u8])) -> Outcome {
        self.count += 1;
        if self.wait == Wait::Asleep {
            wait(&self.bell)?;
        }
        let length = loop {
            // Acquire, with the Release in `write`.
            let count = self.memory.word(COUNT).load(Ordering::Acquire);
            if count >> 32 == self.count {
                break (count & 0xffff_ffff) as usize;
            }
            hint::spin_loop();
        };
        // SAFETY: written before the count, and written again only after our answer.
        look(unsafe { self.memory.bytes(self.layout.offset(self.count), length) });
        Ok(())
    }
}
