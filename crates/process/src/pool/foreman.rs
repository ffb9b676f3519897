//! The pool's thread: hands tasks out, gathers results, and replaces workers. It waits for no worker.

use std::{
    os::fd::OwnedFd,
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use shm::{
    lane::Sleep,
    wire::{Packet, ReceiveError},
};

use super::{
    PoolError, TaskError,
    batch::Batch,
    desk::{Report, Sent},
    hand::{Hand, Stage, TAKE_LAST_AFTER, Waiting},
    offer::{ANSWER, MAX_SMALL_BYTES, OVER_MEMORY},
    office::{DeadLetter, Office, Order, Phase},
    queue::Queue,
    rest::{Rest, Seen},
    staff::Staff,
    task::{Home, Outcome, Place, Task},
};
use crate::{Commands, Exit, StartError, connection::Life};

/// The descriptors are looked at this often while the lanes keep the thread busy.
const LOOK_EVERY: u32 = 16;

pub(super) struct Foreman<P: Commands> {
    office: Arc<Office>,
    staff: Staff<P>,
    queue: Queue,
    rest: Rest,
    next_id: u64,
    deliveries: Option<u32>,
    /// Why it takes no more tasks.
    ended: Option<PoolError>,
    to_wake: Vec<Arc<Batch>>,
    /// Where the content of a result is read into.
    room: Vec<u8>,
    turns: u32,
}

impl<P: Commands> Foreman<P> {
    pub(super) fn new(office: Arc<Office>, staff: Staff<P>, epoll: OwnedFd, deliveries: Option<u32>) -> Self {
        Self {
            office,
            staff,
            queue: Queue::default(),
            rest: Rest::new(epoll),
            next_id: 1,
            deliveries,
            ended: None,
            to_wake: Vec::new(),
            room: Vec::new(),
            turns: 0,
        }
    }

    /// Works until the pool is over and all its workers are gone.
    pub(super) fn run(mut self) {
        let (mut tasks, mut orders) = (Vec::new(), Vec::new());
        loop {
            self.office.take(&mut tasks, &mut orders);
            let mut busy = !orders.is_empty() || !tasks.is_empty();
            tasks.drain(..).for_each(|task| self.queue.push(task));
            for order in orders.drain(..) {
                self.obey(order);
            }
            busy |= self.gather();
            self.turns = self.turns.wrapping_add(1);
            if self.turns.is_multiple_of(LOOK_EVERY) {
                busy |= self.look(Some(Duration::ZERO));
            }
            self.staff_up();
            self.hand_out();
            self.to_wake.drain(..).for_each(|batch| batch.wake());
            if self.ended.is_some() && self.staff.hands.is_empty() && self.queue.is_empty() {
                return;
            }
            if !busy {
                self.sleep();
            } else {
                self.rest.is_rested = false;
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Cancel(place, reply) => {
                let count = self.cancel(&place);
                reply.into_iter().for_each(|reply: Sender<usize>| {
                    let _ = reply.send(count); // whoever asked may have gone
                });
            }
            Order::Life(number, life) => self.live(number, life),
            Order::Phase => match self.office.phase() {
                Phase::Open | Phase::Ended(PoolError::StillOpen) => {}
                Phase::Ended(PoolError::Closed) => self.ended = Some(PoolError::Closed),
                Phase::Ended(why) => self.break_off(why),
            },
        }
    }

    fn cancel(&mut self, place: &Place) -> usize {
        let mut taken = self.queue.take(place);
        for hand in &mut self.staff.hands {
            let Some(desk) = &hand.desk else { continue };
            for index in (0..hand.sent.len()).rev() {
                let given = &hand.sent[index];
                if given.task.home.is(place) && desk.take_back(given.at) {
                    taken.extend(hand.sent.remove(index).map(|given| given.task));
                    hand.left = hand.left.saturating_add(1);
                }
            }
        }
        let count = taken.len();
        for task in taken {
            self.deliver(task.home, Err(TaskError::Cancelled));
        }
        count
    }

    fn live(&mut self, number: u64, life: Life) {
        let Some(index) = self.staff.hands.iter().position(|hand| hand.number == number) else { return };
        let failed = match life {
            Life::Opened => self.staff.opened(index, &mut self.rest, self.ended.is_some()),
            Life::Closed(how) => {
                self.gather_from(index);
                self.gather_large(index);
                self.settle(index, &how);
                self.staff.closed(index, &mut self.rest, &how)
            }
            Life::Over => self.staff.over(index),
        };
        if let Err(cause) = failed {
            self.fail(cause);
        }
    }

    fn fail(&mut self, cause: StartError) {
        let why = PoolError::Failed { cause: cause.to_string() };
        self.staff.tell_start(Err(cause));
        self.office.end(why.clone());
        self.break_off(why);
    }

    /// Everything ends now, whatever it is at.
    fn break_off(&mut self, why: PoolError) {
        for task in self.queue.take_all() {
            self.to_wake.extend(task.home.deliver(Err(why.clone().into())));
        }
        for index in 0..self.staff.hands.len() {
            for given in std::mem::take(&mut self.staff.hands[index].sent) {
                self.deliver(given.task.home, Err(why.clone().into()));
            }
            self.staff.stop(index, Duration::ZERO);
        }
        self.ended = Some(why);
    }

    /// A worker has ended: what it had begun goes by the policy, what it hadn't goes to others.
    fn settle(&mut self, index: usize, how: &Exit) {
        let hand = &mut self.staff.hands[index];
        let sent = std::mem::take(&mut hand.sent);
        let Some(desk) = &hand.desk else { return };
        let (untouched, begun): (Vec<_>, Vec<_>) = sent.into_iter().partition(|given| desk.take_back(given.at));
        let worker = hand.name.clone();
        hand.done += begun.len() as u64; // whatever else: it has worked
        for given in untouched.into_iter().rev() {
            self.queue.push_first(given.task);
        }
        for given in begun {
            let mut task = given.task;
            task.deliveries += 1;
            match self.deliveries {
                None => {
                    let lost = TaskError::WorkerLost { worker: worker.clone(), how: how.clone() };
                    self.deliver(task.home, Err(lost));
                }
                Some(most) if task.deliveries < most => self.queue.push_first(task),
                Some(_) => {
                    let Task { command, home, deliveries, .. } = task;
                    self.office.put_dead_letter(DeadLetter { deliveries, how: how.clone(), command });
                    self.deliver(home, Err(TaskError::DeadLetter { deliveries, how: how.clone() }));
                }
            }
        }
    }

    fn gather(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.staff.hands.len() {
            any |= self.gather_from(index);
        }
        any
    }

    fn gather_from(&mut self, index: usize) -> bool {
        let mut now = None;
        while let Some(desk) = &mut self.staff.hands[index].desk {
            match desk.result(&mut self.room) {
                Ok(Some(report)) => {
                    let now = *now.get_or_insert_with(Instant::now);
                    self.answered(index, report, now);
                }
                Ok(None) => break,
                Err(error) => {
                    self.staff.give_up(index, &mut self.rest, &error);
                    break;
                }
            }
        }
        now.is_some()
    }

    fn gather_large(&mut self, index: usize) {
        while let Some(desk) = &self.staff.hands[index].desk {
            match desk.large_result() {
                Ok(report) => self.answered(index, report, Instant::now()),
                Err(ReceiveError::Empty) => return,
                // Its end will be heard of.
                Err(ReceiveError::Gone) => return self.rest.leave(desk),
                Err(error) => return self.staff.give_up(index, &mut self.rest, &error),
            }
        }
    }

    fn answered(&mut self, index: usize, report: Report, now: Instant) {
        let hand = &mut self.staff.hands[index];
        hand.is_spent |= report.tag & OVER_MEMORY != 0;
        let Some(Task { command, home, .. }) = hand.answered(report.id, report.took_ns, now) else { return };
        let answer = report.large.unwrap_or_else(|| in_place_of(command, &self.room));
        let outcome: Outcome = if report.tag & !OVER_MEMORY == ANSWER {
            Ok(answer)
        } else {
            Err(TaskError::HandlerFailed { worker: hand.name.clone(), why: read_text(&answer) })
        };
        self.deliver(home, outcome);
    }

    fn deliver(&mut self, home: Home, outcome: Outcome) {
        self.to_wake.extend(home.deliver(outcome));
    }

    fn staff_up(&mut self) {
        let idle_end = self.ended.is_some() && self.queue.is_empty();
        if let Err(cause) = self.staff.turn(self.ended.is_some(), idle_end) {
            self.fail(cause);
        }
    }

    fn hand_out(&mut self) {
        while !self.queue.is_empty() {
            let free = |hand: &&mut Hand| hand.room() > 0;
            let working = self.staff.hands.iter().filter(|hand| hand.stage == Stage::Working).count();
            let hands = self.staff.hands.iter_mut().filter(free);
            let Some(hand) = hands.min_by_key(|hand| (hand.is_slow, hand.sent.len())) else { return };
            // Not all to the first: each gets its share of what is there.
            let mut share = (self.queue.len() / (2 * working)).clamp(1, hand.room());
            while share > 0 || (self.queue.next_is_joined() && hand.left > 0) {
                share = share.saturating_sub(1);
                let Some(task) = self.queue.pop() else { break };
                let id = self.next_id;
                self.next_id += 1;
                match hand.give(id, task) {
                    Ok(()) => {}
                    Err((task, Sent::Never(why))) => {
                        self.to_wake.extend(task.home.deliver(Err(TaskError::NotSent { why })));
                    }
                    Err((task, _)) => {
                        self.queue.push_first(task);
                        hand.is_full = true;
                        break;
                    }
                }
            }
            hand.desk.iter().for_each(super::desk::Desk::wake);
        }
    }

    /// Gives what waits at one worker to another that has nothing to do. `true`: there is something to hand out.
    fn even_out(&mut self, now: Instant) -> bool {
        let idle = self.staff.hands.iter().any(|hand| hand.sent.is_empty() && hand.room() > 0);
        if !idle || !self.queue.is_empty() {
            return false;
        }
        for hand in &mut self.staff.hands {
            let Waiting::ToBeTaken(count) = hand.waiting(now) else { continue };
            for task in hand.take_back(count) {
                self.queue.push_first(task);
            }
        }
        !self.queue.is_empty()
    }

    fn sleep(&mut self) {
        let nap = !self.rest.is_rested && self.staff.hands.iter().any(Hand::is_quick);
        // One moment for both: what isn't due yet when it is looked at is what the sleep must end for, however long this thread
        // isn't let run in between.
        let now = Instant::now();
        if !nap && self.even_out(now) {
            return;
        }
        let how = if nap { Sleep::Napping } else { Sleep::Asleep };
        if !self.office.may_sleep() {
            return;
        }
        let desks = || self.staff.hands.iter().filter_map(|hand| hand.desk.as_ref());
        if desks().all(|desk| desk.sleep(how)) {
            let limit = if nap { Some(super::rest::NAP) } else { self.limit(now) };
            self.rest.is_rested = nap;
            self.look(limit);
        }
        self.staff.hands.iter().filter_map(|hand| hand.desk.as_ref()).for_each(super::desk::Desk::awake);
    }

    /// How long it may sleep if nothing happens.
    fn limit(&mut self, now: Instant) -> Option<Duration> {
        let next_start = self.staff.next_start().map(|at| at.saturating_duration_since(now));
        let hands = &mut self.staff.hands;
        // A full one may have room by and by without saying so: what was taken back from it goes unanswered.
        let full = hands.iter().any(|hand| hand.is_full).then_some(TAKE_LAST_AFTER);
        hands.iter_mut().for_each(|hand| hand.is_full = false);
        // Somebody is idle while tasks wait at another: they are looked at once more, when they are old enough to be taken.
        let idle = hands.iter().any(|hand| hand.sent.is_empty() && hand.room() > 0);
        let young = hands.iter().filter(|_| idle).filter_map(|hand| match hand.waiting(now) {
            Waiting::Young(left) => Some(left),
            _ => None,
        });
        [next_start, full, young.min()].into_iter().flatten().min()
    }

    /// Looks at the descriptors, and waits for them up to `limit`. `true`: there was something.
    fn look(&mut self, limit: Option<Duration>) -> bool {
        let seen = self.rest.wait(limit);
        for seen in &seen {
            match seen {
                Seen::Bell => self.office.bell.quiet(),
                Seen::Worker(number) => {
                    if let Some(index) = self.staff.hands.iter().position(|hand| hand.number == *number) {
                        self.gather_large(index);
                    }
                }
            }
        }
        !seen.is_empty()
    }
}

impl<P: Commands> Drop for Foreman<P> {
    fn drop(&mut self) {
        // Also if it panics: whoever waits for the pool mustn't wait for ever, and no worker is left without it.
        for index in 0..self.staff.hands.len() {
            self.staff.stop(index, Duration::ZERO);
        }
        self.office.over();
    }
}

/// An answer in the memory of the question: this thread then neither allocates nor frees for a short task, which would
/// be another thread's memory each time, and cost more than all the rest.
fn in_place_of(command: Packet, answer: &[u8]) -> Packet {
    let mut bytes = if command.bytes.capacity() <= 2 * MAX_SMALL_BYTES { command.bytes } else { Vec::new() };
    bytes.clear();
    bytes.extend_from_slice(answer);
    Packet { bytes, descriptors: Vec::new() }
}

fn read_text(packet: &Packet) -> String {
    packet.decode().unwrap_or_else(|error| format!("(could not {error})"))
}
