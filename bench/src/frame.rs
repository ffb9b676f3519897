//! How long it takes to hand a picture over: from the first byte written to the last byte read, both sides doing
//! what they would with any memory.

mod raw;

use framewire_bench::{
    Outcome,
    cores::Core,
    picture::{Alone, BYTES, Picture, Times, sum},
    samples::{Samples, now_ns},
};
use shm::ring::Info;

use self::raw::Threads;
use crate::{
    peer::{Order, Peer},
    rings::{ANSWER_BYTES, Ends},
};

/// The first of each turn bring the memory into the caches as later ones find it.
const WARM_UP: u32 = 3;

/// What one hand-over consists of.
#[derive(Default)]
pub struct Parts {
    pub whole: Samples,
    pub write: Samples,
    /// From written to the other side having it.
    pub pass: Samples,
    pub read: Samples,
}

/// Through the ring, and two ways that have no ring.
pub struct Measured {
    /// From process to process, through the ring.
    pub ring: Parts,
    /// The same copy and the same sum on one core, with nobody to wake.
    pub alone: Parts,
    /// From thread to thread in plain memory, with an eventfd to wake: what the second core costs by itself.
    pub threads: Parts,
    pictures: [Picture; 2],
    raw_alone: Alone,
    raw_threads: Threads,
}

impl Measured {
    pub fn new(reader: Core, depth: u32) -> Outcome<Self> {
        // A ring goes round in its `depth` newest slots and the one that is written.
        let buffers = depth as usize + 1;
        Ok(Self {
            ring: Parts::default(),
            alone: Parts::default(),
            threads: Parts::default(),
            pictures: [Picture::new(3), Picture::new(7)],
            raw_alone: Alone::new(buffers),
            raw_threads: Threads::start(reader, buffers)?,
        })
    }

    /// One turn of each way.
    pub fn round(&mut self, peer: &mut Peer, count: u32) -> Outcome {
        peer.order(Order::Frames(WARM_UP + count))?;
        let pictures = &self.pictures;
        turn(&mut self.ring, pictures, count, |picture| send(&mut peer.rings, picture))?;
        turn(&mut self.alone, pictures, count, |picture| Ok(self.raw_alone.pass(&picture.bytes)))?;
        turn(&mut self.threads, pictures, count, |picture| self.raw_threads.pass(&picture.bytes))
    }
}

fn turn(
    parts: &mut Parts,
    pictures: &[Picture; 2],
    count: u32,
    mut pass: impl FnMut(&Picture) -> Outcome<(Times, u64)>,
) -> Outcome {
    for turn in 0..WARM_UP + count {
        // Alternating, so that a reader that saw the frame before would be found out.
        let picture = &pictures[turn as usize % 2];
        let (times, sum) = pass(picture)?;
        if sum != picture.sum {
            return Err("hand a frame over whole: its reader saw other bytes".into());
        }
        if turn >= WARM_UP {
            parts.add(&times);
        }
    }
    Ok(())
}

impl Parts {
    fn add(&mut self, times: &Times) {
        self.whole.add(times.read - times.start);
        self.write.add(times.written - times.start);
        self.pass.add(times.had - times.written);
        self.read.add(times.read - times.had);
    }
}

/// The writer's side of one hand-over.
fn send(rings: &mut Ends, picture: &Picture) -> Outcome<(Times, u64)> {
    let start = now_ns();
    let mut slot = rings.writer.reserve(BYTES)?;
    slot.bytes_mut().copy_from_slice(&picture.bytes);
    let written = now_ns();
    slot.publish(Info::default());
    // Its times and its sum come in the answer.
    let answer = rings.next()?;
    let sum = answer.bytes().try_into().map(u64::from_ne_bytes).unwrap_or_default();
    Ok((Times { start, written, had: answer.info().captured_ns, read: answer.info().pts_ns }, sum))
}

/// The reader's side of `count` hand-overs.
pub fn answer(rings: &mut Ends, count: u32) -> Outcome {
    for _ in 0..count {
        let frame = rings.next()?;
        let had = now_ns();
        let sum = sum(frame.bytes());
        let read = now_ns();
        drop(frame);
        let mut slot = rings.writer.reserve(ANSWER_BYTES)?;
        slot.bytes_mut().copy_from_slice(&sum.to_ne_bytes());
        slot.publish(Info { captured_ns: had, pts_ns: read, ..Info::default() });
    }
    Ok(())
}
