//! Queues whose producers and consumers die.

mod book;
mod members;

use std::{
    io::{PipeReader, Read},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
};
use serde::{Deserialize, Serialize};
use shm::{
    arena::Arena,
    queue::{Acknowledge, GetError, JoinError, Queue, QueueOptions},
    status::{Number, StatusPage},
    wire::Passed,
};

use self::{
    book::{Book, Event, Record},
    members::{ConsumingOf, ProducingOf},
};
use crate::{
    Outcome, STALL, Tally,
    chance::Chance,
    child::{Other, Role},
    crowd::Crowd,
};

pub use self::members::{consume, produce};

const PRODUCERS: usize = 3;
/// Those of the queue that is leased from, and of the one that is got from.
const CONSUMERS: [usize; 2] = [2, 2];
const LANES: usize = PRODUCERS + CONSUMERS[0] + CONSUMERS[1];

/// After so many deliveries, an item is a dead letter.
const MAX_DELIVERIES: u32 = 3;

/// In either queue, for items that are too large for a cell.
const LARGE_BYTES: usize = 256 * 1024;

/// What is put.
#[derive(Serialize, Deserialize)]
pub struct Item {
    lane: u32,
    sequence: u64,
    text: String,
}

impl Item {
    fn new(lane: u32, sequence: u64) -> Self {
        let length = match sequence {
            sequence if sequence.is_multiple_of(50) => 30_000,
            sequence if sequence.is_multiple_of(7) => 1000,
            _ => 20,
        };
        Self { lane, sequence, text: Self::letter(sequence).to_string().repeat(length) }
    }

    fn letter(sequence: u64) -> char {
        char::from(b'a' + (sequence % 26) as u8)
    }

    fn check(&self) -> Outcome {
        if self.lane >= PRODUCERS as u32 || self.text != Self::new(self.lane, self.sequence).text {
            return Err(format!("take item {} of producer {} whole: it is torn", self.sequence, self.lane).into());
        }
        Ok(())
    }

    /// Given back until it is a dead letter.
    fn is_poison(&self) -> bool {
        self.sequence.is_multiple_of(97)
    }
}

/// On a producer's page, for each of the two queues: the item that it puts now or put last, and the last that was put for sure.
const TRIED: [Number; 2] = [Number::FramesIn, Number::Width];
const PUT: [Number; 2] = [Number::FramesOut, Number::Height];
/// On a producer's page: 1 when it shall end, and when it does.
const END: Number = Number::State;
const ENDED: Number = Number::Condition;

/// Producers and consumers die; at the end everything that was put is accounted for.
pub fn members_die(chance: &mut Chance, length: Duration) -> Outcome<Tally> {
    Round::begin(chance)?.run(chance, length)
}

struct Round {
    /// One is leased from, the other is got from.
    queues: [Queue<Item>; 2],
    /// How many items there can be in each, put and leased.
    holds: [usize; 2],
    by_task_done: bool,
    pages: Vec<StatusPage>,
    told: Told,
    book: Book,
    /// Which consumer is in each lane (nobody in those of producers), and how many there have been.
    consumers: [u32; LANES],
    came: u32,
    lives: Chance,
}

/// What consumers tell, by a pipe: what was told stays told, whoever dies.
struct Told {
    records: PipeReader,
    to: Passed,
}

impl Round {
    fn begin(chance: &mut Chance) -> Outcome<Self> {
        let by_task_done = chance.once_in(2);
        let leased = QueueOptions {
            descriptor_slots: 0,
            capacity: 16,
            leases: Some(8),
            inline_bytes: 256,
            large_bytes: LARGE_BYTES,
            max_deliveries: MAX_DELIVERIES,
            dead_letters: 64,
            acknowledge: Acknowledge::OnReturn,
        };
        let acknowledge = if by_task_done { Acknowledge::ByTaskDone } else { Acknowledge::OnReturn };
        let got = QueueOptions { max_deliveries: 0, acknowledge, ..leased.clone() };
        let arena = Arena::create(leased.bytes()? + got.bytes()?)?;
        let pages = (0..PRODUCERS).map(|_| StatusPage::create()).collect::<Result<_, _>>()?;
        let (records, to) = std::io::pipe()?;
        fcntl_setfl(&records, OFlags::NONBLOCK)?;
        let queues = [Queue::create(&arena, leased)?, Queue::create(&arena, got)?];
        Ok(Self {
            holds: [holds(&queues[0])?, holds(&queues[1])?],
            queues,
            by_task_done,
            pages,
            told: Told { records, to: Passed::new(OwnedFd::from(to)) },
            book: Book::new(PRODUCERS),
            consumers: [0; LANES],
            came: 0,
            lives: Chance::new(chance.below(u64::MAX)),
        })
    }

    fn run(mut self, chance: &mut Chance, length: Duration) -> Outcome<Tally> {
        let stops = StatusPage::create()?;
        let mut crowd = Crowd::gather(LANES, &stops, |lane| self.start(lane))?;
        let begun = Instant::now();
        while begun.elapsed() < length {
            crowd.disturb(chance, &mut |lane| self.start(lane))?;
            if crowd.anybody_is_stopped() {
                self.book.excuse_stalls();
            }
            self.listen(Duration::from_millis(1))?;
            self.book.stalls(STALL)?;
        }
        crowd.resume()?;
        let longest_stall = self.book.longest_stall();
        self.end_producers(&mut crowd)?;
        if chance.once_in(2) {
            crowd.disperse()?;
            self.note_dead_producers();
            self.listen(Duration::ZERO)?;
            self.take_what_is_left()?;
            self.is_empty()?;
            for (queue, before) in self.queues.iter().zip(self.holds) {
                let now = holds(queue)?;
                if now != before {
                    return Err(format!("have all of a queue's memory back: {now} of {before} items fit in").into());
                }
            }
        } else {
            self.join(&mut crowd)?;
            self.close(&mut crowd)?;
            crowd.disperse()?;
            self.listen(Duration::ZERO)?;
        }
        self.is_empty()?;
        let deaths = CONSUMERS_OF.map(|lanes| crowd.deaths(lanes));
        self.book.check(&self.pages, deaths, self.by_task_done)?;
        Ok(Tally { killed: crowd.killed(), done: self.book.told(), longest_stall })
    }

    /// Starts who takes over a lane.
    fn start(&mut self, lane: usize) -> Outcome<Other> {
        let seed = self.lives.below(u64::MAX);
        if lane < PRODUCERS {
            self.note_dead_producer(lane);
            let part = ProducingOf { queues: &self.queues, page: self.pages[lane].writable()?, lane: lane as u32 };
            return Other::start(Role::Producer, &part, &mut self.lives);
        }
        let leases = CONSUMERS_OF[0].contains(&lane);
        self.came += 1;
        self.consumers[lane] = self.came;
        let part = ConsumingOf {
            queue: &self.queues[usize::from(!leases)],
            records: self.told.to.clone(),
            who: self.came,
            leases,
            by_task_done: self.by_task_done,
            seed,
        };
        Other::start(Role::Consumer, &part, &mut self.lives)
    }

    /// What a producer was putting when it died is put or isn't.
    fn note_dead_producer(&mut self, lane: usize) {
        let page = self.pages[lane].view();
        for queue in 0..2 {
            let tried = page.get(TRIED[queue]);
            if tried != page.get(PUT[queue]) {
                self.book.perhaps_put(queue, lane, tried);
            }
        }
    }

    fn note_dead_producers(&mut self) {
        (0..PRODUCERS).for_each(|lane| self.note_dead_producer(lane));
    }

    /// Reads what is told within `limit`, and takes the dead letters.
    fn listen(&mut self, limit: Duration) -> Outcome {
        const RECORDS: usize = 512;
        let limit = Timespec { tv_sec: 0, tv_nsec: limit.as_nanos() as i64 };
        poll(&mut [PollFd::new(&self.told.records, PollFlags::IN)], Some(&limit))?;
        let mut bytes = [0; RECORDS * Record::BYTES];
        loop {
            match self.told.records.read(&mut bytes) {
                Ok(read) => {
                    let (records, rest) = bytes[..read].as_chunks::<{ Record::BYTES }>();
                    if !rest.is_empty() {
                        return Err("read whole records: one was cut".into());
                    }
                    records.iter().try_for_each(|record| self.book.enter(&Record::of(record)?))?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(letter) = self.queues[0].take_dead_letter()? {
            letter.check()?;
            self.book.enter(&Record::new(Event::DeadLetter, 0, &letter, letter.deliveries()))?;
            letter.done();
        }
        Ok(())
    }

    /// Waits until all producers have put their last item. One of them that dies yet has put its last, too.
    fn end_producers(&mut self, crowd: &mut Crowd<'_>) -> Outcome {
        for page in &self.pages {
            page.set(END, 1);
        }
        let begun = Instant::now();
        while self.pages.iter().any(|page| page.view().get(ENDED) == 0) {
            crowd.replace_the_dead(&mut |lane| self.start(lane))?;
            self.listen(Duration::from_millis(1))?;
            if begun.elapsed() > 2 * STALL {
                return Err(format!("see all producers put their last item: {}", self.state()).into());
            }
        }
        Ok(())
    }

    /// Consumers go on and acknowledge everything, also if one dies by its own hand.
    fn join(&mut self, crowd: &mut Crowd<'_>) -> Outcome {
        let begun = Instant::now();
        for queue in 0..2 {
            loop {
                match self.queues[queue].join_for(Duration::from_millis(2)) {
                    Ok(()) => break,
                    Err(JoinError::TimedOut { .. }) if begun.elapsed() < 2 * STALL => {}
                    Err(error) => return Err(format!("{error}: {}", self.state()).into()),
                }
                crowd.replace_the_dead(&mut |lane| self.start(lane))?;
                self.listen(Duration::ZERO)?;
            }
        }
        Ok(())
    }

    /// Every consumer that sleeps is told of the end.
    fn close(&mut self, crowd: &mut Crowd<'_>) -> Outcome {
        for queue in &self.queues {
            queue.close()?;
        }
        let begun = Instant::now();
        while let Some(who) = self.consumers[PRODUCERS..].iter().copied().find(|who| !self.book.knows_the_end(*who)) {
            crowd.replace_the_dead(&mut |lane| self.start(lane))?;
            self.listen(Duration::from_millis(1))?;
            if begun.elapsed() > STALL {
                return Err(format!("see all consumers told of the end: number {who} wasn't").into());
            }
        }
        Ok(())
    }

    /// Alone, we get what came back first, and then the rest in its order.
    fn take_what_is_left(&mut self) -> Outcome {
        let mut fresh = false;
        loop {
            match self.queues[0].try_lease() {
                Ok(lease) => {
                    lease.check()?;
                    if lease.deliveries() == 1 {
                        fresh = true;
                    } else if fresh {
                        return Err("get what came back first: it came after the rest".into());
                    }
                    self.book.enter(&Record::new(Event::Delivered, 0, &lease, lease.deliveries()))?;
                    let record = Record::new(Event::Done, 0, &lease, lease.deliveries());
                    lease.done();
                    self.book.enter(&record)?;
                }
                Err(GetError::Empty) => break,
                Err(error) => return Err(error.into()),
            }
        }
        loop {
            match self.queues[1].try_get() {
                Ok(item) => {
                    item.check()?;
                    self.book.enter(&Record::new(Event::Got, 0, &item, 0))?;
                    if self.by_task_done {
                        self.queues[1].task_done()?;
                    }
                }
                Err(GetError::Empty) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.listen(Duration::ZERO)
    }

    fn is_empty(&self) -> Outcome {
        for queue in &self.queues {
            queue.join_for(Duration::ZERO)?;
            if [queue.len(), queue.leased(), queue.unfinished(), queue.dead_letters()] != [0; 4] {
                return Err(format!("find the queues empty at the end: {}", self.state()).into());
            }
        }
        Ok(())
    }

    fn state(&self) -> String {
        let state = |queue: &Queue<Item>| {
            let (waiting, leased) = (queue.len(), queue.leased());
            let (unfinished, dead) = (queue.unfinished(), queue.dead_letters());
            format!("{waiting} wait, {leased} are leased, {unfinished} unfinished, {dead} dead letters")
        };
        format!("in the queue of leases {}; in the other {}", state(&self.queues[0]), state(&self.queues[1]))
    }
}

/// How many items an empty queue can have, with what is leased, and whether an item can have all the memory for large ones.
fn holds(queue: &Queue<Item>) -> Outcome<usize> {
    // Some bytes of the item are its frame.
    let largest = Item { lane: 0, sequence: 0, text: "a".repeat(LARGE_BYTES - 100) };
    queue.try_put(largest).map_err(|error| format!("put the largest item: {error}"))?;
    queue.try_lease()?.done();
    let mut leased = Vec::new();
    while queue.try_put(Item::new(0, 1)).is_ok() {
        leased.push(queue.try_lease()?);
    }
    let count = leased.len();
    leased.into_iter().for_each(|lease| drop(lease.done()));
    Ok(count)
}

/// The lanes of the consumers of either queue.
const CONSUMERS_OF: [std::ops::Range<usize>; 2] =
    [PRODUCERS..PRODUCERS + CONSUMERS[0], PRODUCERS + CONSUMERS[0]..LANES];
