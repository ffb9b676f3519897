//! Ours.

use std::{hint, time::Duration};

use bench::Outcome;
use serde::{Deserialize, Serialize};
use shm::{
    doorbell::Doorbell,
    ring::{Info, Policy, Reader, RingOptions, Wish, Writer},
    wire::{Passed, Socket},
};

use super::{Ends, Lane, Reads, Wait, Writes};

/// Longer than anything here takes: the other side is stuck.
const LIMIT: Duration = Duration::from_secs(20);

/// A session of the ring.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket(Passed);

struct Writing(Writer);

pub struct Reading {
    reader: Reader,
    wait: Wait,
}

pub fn open(lane: &Lane) -> Outcome<Ends> {
    let writer = Writer::create(RingOptions { depth: 1, frame_bytes: lane.bytes })?;
    let tickets = (0..lane.readers).map(|_| {
        let (ours, theirs) = Socket::pair()?;
        writer.port().add(ours)?;
        Ok(super::Ticket::Ring(Ticket(Passed::new(theirs.into_owned()))))
    });
    let tickets = tickets.collect::<Outcome<_>>()?;
    Ok((Box::new(Writing(writer)), tickets))
}

impl Ticket {
    pub fn open(self, lane: &Lane) -> Outcome<Reading> {
        let session = Socket::from_owned(self.0.into_owned()?);
        let reader = Reader::connect(session, &Doorbell::new()?, Wish { policy: Policy::Latest, leases: 1 })?;
        Ok(Reading { reader, wait: lane.wait })
    }
}

impl Writes for Writing {
    fn ready(&mut self) -> Outcome {
        self.0.port().service();
        Ok(())
    }

    fn write(&mut self, payload: &[u8]) -> Outcome {
        let mut slot = self.0.reserve(payload.len())?;
        slot.bytes_mut().copy_from_slice(payload);
        slot.publish(Info::default());
        Ok(())
    }
}

impl Reads for Reading {
    fn read(&mut self, look: &mut dyn FnMut(&[u8])) -> Outcome {
        let frame = match self.wait {
            Wait::Asleep => self.reader.next_for(LIMIT)?.ok_or("read a ring: it has been silent for 20 s")?,
            Wait::Spinning => loop {
                match self.reader.try_next()? {
                    Some(frame) => break frame,
                    None => hint::spin_loop(),
                }
            },
        };
        look(frame.bytes());
        Ok(())
    }
}
