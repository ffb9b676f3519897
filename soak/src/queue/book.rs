//! What became of each item, and what mustn't.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use shm::{clock::monotonic_ns, status::StatusPage};

use super::{Item, MAX_DELIVERIES, PUT, TRIED};
use crate::Outcome;

/// How many items a consumer leases at once, at most.
pub const HELD: usize = 3;

/// What was done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Event {
    /// It was leased.
    Delivered,
    /// It was acknowledged, before this was told.
    Done,
    /// It is given back, after this was told.
    GivenBack,
    /// It was got, of the queue without leases.
    Got,
    /// It was taken as a dead letter.
    DeadLetter,
    /// None: the consumer was told that the queue is closed.
    End,
}

const EVENTS: [Event; 6] = [Event::Delivered, Event::Done, Event::GivenBack, Event::Got, Event::DeadLetter, Event::End];

/// One consumer's word on one item.
pub struct Record {
    event: Event,
    who: u32,
    lane: u32,
    deliveries: u32,
    sequence: u64,
    at_ns: u64,
}

impl Record {
    pub const BYTES: usize = 32;

    pub fn new(event: Event, who: u32, item: &Item, deliveries: u32) -> Self {
        Self { event, who, lane: item.lane, deliveries, sequence: item.sequence, at_ns: monotonic_ns() }
    }

    pub fn end(who: u32) -> Self {
        Self { event: Event::End, who, lane: 0, deliveries: 0, sequence: 1, at_ns: monotonic_ns() }
    }

    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.event as u32, self.who, self.lane, self.deliveries];
        for (place, word) in bytes.chunks_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..].copy_from_slice(&self.at_ns.to_le_bytes());
        bytes
    }

    pub fn of(bytes: &[u8; Self::BYTES]) -> Outcome<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let event = *EVENTS.get(word(0) as usize).ok_or("read a record: it is none")?;
        Ok(Self { event, who: word(4), lane: word(8), deliveries: word(12), sequence: long(16), at_ns: long(24) })
    }
}

/// What is known of one item.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// Bit n: the nth delivery was told. Or how often it was got.
    deliveries: u64,
    /// By which delivery it was acknowledged; 0: none that told.
    done: u32,
    dead: bool,
}

/// Of all items of both queues.
pub struct Book {
    /// By queue, producer's lane, and sequence - 1.
    fates: [Vec<Vec<Fate>>; 2],
    /// Queue, lane and sequence of what a producer was putting when it died.
    perhaps: HashSet<(usize, usize, u64)>,
    /// The last first delivery, by consumer and lane.
    order: HashMap<(u32, u32), u64>,
    given_back: u64,
    told: u64,
    ends: HashSet<u32>,
    /// When something was told last of either queue, as the consumer saw it; 0: begin anew.
    last_ns: [u64; 2],
    longest_stall: u64,
}

impl Book {
    pub fn new(lanes: usize) -> Self {
        Self {
            fates: [vec![Vec::new(); lanes], vec![Vec::new(); lanes]],
            perhaps: HashSet::new(),
            order: HashMap::new(),
            given_back: 0,
            told: 0,
            ends: HashSet::new(),
            last_ns: [0; 2],
            longest_stall: 0,
        }
    }

    pub fn perhaps_put(&mut self, queue: usize, lane: usize, sequence: u64) {
        self.perhaps.insert((queue, lane, sequence));
    }

    /// Enters what was told, unless it can't be.
    pub fn enter(&mut self, record: &Record) -> Outcome {
        let &Record { event, who, lane, deliveries, sequence, at_ns } = record;
        if event == Event::End {
            self.ends.insert(who);
            return Ok(());
        }
        let queue = usize::from(event == Event::Got);
        self.time(queue, at_ns);
        let wrong = |what: &str| -> Outcome {
            Err(format!("deal with item {sequence} of producer {lane} once: delivery {deliveries} {what}").into())
        };
        if deliveries == 1 && event == Event::Delivered {
            let last = self.order.insert((who, lane), sequence).unwrap_or(0);
            if last >= sequence {
                return wrong(&format!("came after item {last}"));
            }
        }
        let fates = &mut self.fates[queue][lane as usize];
        let index = (sequence - 1) as usize;
        if fates.len() <= index {
            fates.resize(index + 1, Fate::default());
        }
        let fate = &mut fates[index];
        match event {
            Event::Delivered => {
                let bit = 1_u64.checked_shl(deliveries).ok_or("believe so many deliveries")?;
                if fate.deliveries & bit != 0 {
                    return wrong("came twice");
                }
                fate.deliveries |= bit;
            }
            Event::Done if fate.done != 0 => return wrong("was acknowledged, but another one too"),
            Event::Done => {
                fate.done = deliveries;
                self.told += 1;
            }
            Event::GivenBack => self.given_back += 1,
            Event::Got => {
                fate.deliveries += 1;
                self.told += 1;
            }
            Event::DeadLetter if fate.dead => return wrong("was a dead letter, but it was one before"),
            Event::DeadLetter if deliveries < MAX_DELIVERIES => return wrong("made it a dead letter, too early"),
            Event::DeadLetter => fate.dead = true,
            Event::End => {}
        }
        if fate.done != 0 && (fate.dead || (fate.deliveries >> fate.done) > 1) {
            return wrong("came though it was acknowledged");
        }
        Ok(())
    }

    /// By the consumers' clocks, so that it doesn't count how late we read.
    fn time(&mut self, queue: usize, at_ns: u64) {
        let last = std::mem::replace(&mut self.last_ns[queue], at_ns);
        if last != 0 {
            self.longest_stall = self.longest_stall.max(at_ns.saturating_sub(last));
        }
    }

    /// While somebody is stopped, others may well have to wait.
    pub fn excuse_stalls(&mut self) {
        self.last_ns = [0; 2];
    }

    /// # Errors
    ///
    /// If nothing has happened for so long.
    pub fn stalls(&mut self, limit: Duration) -> Outcome {
        let now = monotonic_ns();
        for (queue, last) in ["leased from", "got from"].into_iter().zip(&mut self.last_ns) {
            if *last == 0 {
                *last = now;
            }
            let stalled = Duration::from_nanos(now.saturating_sub(*last));
            if stalled > limit {
                return Err(format!("see anything {queue} the queue: nothing was for {stalled:?}").into());
            }
        }
        Ok(())
    }

    pub fn longest_stall(&self) -> Duration {
        Duration::from_nanos(self.longest_stall)
    }

    /// How many items were dealt with.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Whether a consumer knows that the queue is closed.
    pub fn knows_the_end(&self, who: u32) -> bool {
        self.ends.contains(&who)
    }

    /// At the end: nothing is lost, and nothing came again without a reason. `deaths`: of consumers of either queue.
    pub fn check(&self, pages: &[StatusPage], deaths: [u64; 2], by_task_done: bool) -> Outcome {
        let (mut again, mut missing) = ([0; 2], [0; 2]);
        for queue in 0..2 {
            for (lane, page) in pages.iter().enumerate() {
                let tried = page.view().get(TRIED[queue]).max(page.view().get(PUT[queue]));
                let fates = &self.fates[queue][lane];
                if fates.len() as u64 > tried {
                    return Err(format!("get what was put: item {} of producer {lane} wasn't", fates.len()).into());
                }
                for sequence in 1..=tried {
                    let fate = fates.get((sequence - 1) as usize).copied().unwrap_or_default();
                    let came = if queue == 0 { u64::from(fate.deliveries.max(1).ilog2()) } else { fate.deliveries };
                    again[queue] += came.saturating_sub(1);
                    let put = !self.perhaps.contains(&(queue, lane, sequence));
                    missing[queue] += u64::from(put && came == 0);
                    if queue == 0 && put && came == 0 {
                        return Err(format!("find item {sequence} of producer {lane}: nobody was given it").into());
                    }
                }
            }
        }
        let reasons = [deaths[0] * HELD as u64 + self.given_back, if by_task_done { deaths[1] } else { 0 }];
        let losses = if by_task_done { 0 } else { deaths[1] };
        if again[0] > reasons[0] || again[1] > reasons[1] || missing[1] > losses {
            return Err(format!(
                "account for all items: {again:?} deliveries too many with reasons for {reasons:?}, {} missing with \
                 reasons for {losses}",
                missing[1]
            )
            .into());
        }
        Ok(())
    }
}
