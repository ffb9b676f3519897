//! How long it takes to wake the other process: there and back, halved.

use framewire_bench::{
    Outcome,
    doorbells::{Doorbells, ring, wait},
    samples::{Samples, now_ns},
};
use shm::ring::Info;

use crate::{
    peer::{Order, Peer},
    rings::{ANSWER_BYTES, Ends},
};

/// The first few of each turn bring code and data into the caches, and find the other side awake.
const WARM_UP: u32 = 20;

/// One-way times of the two ways to wake.
#[derive(Default)]
pub struct Measured {
    /// A write to an eventfd, and a blocking read of it.
    pub raw: Samples,
    /// A small frame published, and had by its reader.
    pub ring: Samples,
}

impl Measured {
    /// One turn of each.
    pub fn round(&mut self, peer: &mut Peer, count: u32) -> Outcome {
        peer.order(Order::RawWakes(WARM_UP + count))?;
        for turn in 0..WARM_UP + count {
            let start = now_ns();
            ring(&peer.bells.readers)?;
            wait(&peer.bells.writers)?;
            let back = now_ns();
            if turn >= WARM_UP {
                self.raw.add((back - start) / 2);
            }
        }
        peer.order(Order::RingWakes(WARM_UP + count))?;
        for turn in 0..WARM_UP + count {
            let start = now_ns();
            say(&mut peer.rings)?;
            peer.rings.next()?;
            let back = now_ns();
            if turn >= WARM_UP {
                self.ring.add((back - start) / 2);
            }
        }
        Ok(())
    }
}

/// The other side of the raw turn.
pub fn answer_raw(bells: &Doorbells, count: u32) -> Outcome {
    for _ in 0..count {
        wait(&bells.readers)?;
        ring(&bells.writers)?;
    }
    Ok(())
}

/// The other side of the ring's turn.
pub fn answer_ring(rings: &mut Ends, count: u32) -> Outcome {
    for _ in 0..count {
        rings.next()?;
        say(rings)?;
    }
    Ok(())
}

fn say(rings: &mut Ends) -> Outcome {
    let mut slot = rings.writer.reserve(ANSWER_BYTES)?;
    slot.bytes_mut().fill(1);
    slot.publish(Info::default());
    Ok(())
}
