//! What producers and consumers do until they are killed.

use std::{fs::File, io::Write, time::Duration};

use serde::{Deserialize, Serialize};
use shm::{
    queue::{GetError, Lease, Queue},
    status::StatusPage,
    wire::Passed,
};

use super::{
    END, ENDED, Item, MAX_DELIVERIES, PUT, TRIED,
    book::{Event, HELD, Record},
};
use crate::{Outcome, chance::Chance, child::wait_to_be_killed};

/// Longer than anybody waits for room or an item, unless it is stuck. Others can be faster again and again.
const STUCK: Duration = Duration::from_secs(10);

/// A producer's part.
#[derive(Deserialize)]
pub struct Producing {
    queues: [Queue<Item>; 2],
    page: Passed,
    lane: u32,
}

/// As [`Producing`], for the way.
#[derive(Serialize)]
pub struct ProducingOf<'a> {
    pub queues: &'a [Queue<Item>; 2],
    pub page: Passed,
    pub lane: u32,
}

/// A consumer's part.
#[derive(Deserialize)]
pub struct Consuming {
    queue: Queue<Item>,
    records: Passed,
    who: u32,
    leases: bool,
    by_task_done: bool,
    seed: u64,
}

/// As [`Consuming`], for the way.
#[derive(Serialize)]
pub struct ConsumingOf<'a> {
    pub queue: &'a Queue<Item>,
    pub records: Passed,
    pub who: u32,
    pub leases: bool,
    pub by_task_done: bool,
    pub seed: u64,
}

/// Puts items into both queues in turn. Its page says which ones for sure, also when it is dead.
pub fn produce(Producing { queues, page, lane }: Producing) -> Outcome {
    let page = StatusPage::open(page.into_owned()?)?;
    while page.view().get(END) == 0 {
        for (index, queue) in queues.iter().enumerate() {
            let sequence = page.view().get(TRIED[index]) + 1;
            page.set(TRIED[index], sequence);
            queue.put_for(Item::new(lane, sequence), STUCK).map_err(|error| error.to_string())?;
            page.set(PUT[index], sequence);
        }
    }
    page.set(ENDED, 1);
    wait_to_be_killed()
}

/// Takes items and tells of each.
pub fn consume(part: Consuming) -> Outcome {
    let records = File::from(part.records.into_owned()?);
    let told = Told { records, who: part.who };
    let ended = if part.leases {
        lease(&part.queue, &told, &mut Chance::new(part.seed))
    } else {
        get(&part.queue, &told, part.by_task_done)
    };
    ended?;
    told.tell(&Record::end(part.who))?;
    wait_to_be_killed()
}

struct Told {
    records: File,
    who: u32,
}

impl Told {
    fn tell(&self, record: &Record) -> Outcome {
        // So few bytes are written whole or not at all, also into a pipe that others write.
        Ok((&self.records).write_all(&record.bytes())?)
    }

    fn of(&self, event: Event, lease: &Lease<Item>) -> Record {
        Record::new(event, self.who, lease, lease.deliveries())
    }
}

fn lease(queue: &Queue<Item>, told: &Told, chance: &mut Chance) -> Outcome {
    let mut held: Vec<Lease<Item>> = Vec::new();
    loop {
        // With something in hand it comes back to it, also when nothing else comes.
        match queue.lease_for(if held.is_empty() { STUCK } else { Duration::from_millis(20) }) {
            Ok(lease) => {
                lease.check()?;
                told.tell(&told.of(Event::Delivered, &lease))?;
                held.push(lease);
                if held.len() < HELD && chance.once_in(3) {
                    continue;
                }
            }
            Err(GetError::Closed) => return finish_all(told, &mut held),
            Err(GetError::Empty) if !held.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
        // Not in the order in which they came.
        if !held.is_empty() {
            let lease = held.swap_remove(chance.below(held.len() as u64) as usize);
            if (lease.is_poison() && lease.deliveries() <= MAX_DELIVERIES) || chance.once_in(50) {
                told.tell(&told.of(Event::GivenBack, &lease))?;
                drop(lease);
            } else {
                finish(told, lease)?;
            }
        }
    }
}

fn finish(told: &Told, lease: Lease<Item>) -> Outcome {
    let record = told.of(Event::Done, &lease);
    lease.done();
    told.tell(&record)
}

fn finish_all(told: &Told, held: &mut Vec<Lease<Item>>) -> Outcome {
    held.drain(..).try_for_each(|lease| finish(told, lease))
}

fn get(queue: &Queue<Item>, told: &Told, by_task_done: bool) -> Outcome {
    loop {
        match queue.get_for(STUCK) {
            Ok(item) => {
                item.check()?;
                told.tell(&Record::new(Event::Got, told.who, &item, 0))?;
                if by_task_done {
                    queue.task_done()?;
                }
            }
            Err(GetError::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
