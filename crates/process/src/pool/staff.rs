//! Who works in a pool: workers are started, replaced and let go.

use std::{
    fmt::Display,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc::Sender},
    time::{Duration, Instant},
};

use super::{
    desk::Desk,
    hand::{Hand, Stage},
    office::{Office, Order},
    rest::Rest,
    workers::Workers,
};
use crate::{
    Commands, Exit, Restart, StartError, System, child::panics, connection::Witness, logs::later,
    supervisor::NotStarted,
};

/// A seat whose workers can't be started is tried so often in a row; then the pool has failed. Once may be a shortage of
/// the moment; for ever is what other pools do.
const MAX_FAILED_STARTS: u32 = 3;
/// The same for workers that die, having done nothing, right after they were ready.
const MAX_BARREN: u32 = 5;
/// One that lived for so long didn't die of its start.
const SOUND_AFTER: Duration = Duration::from_secs(2);
/// After the first such failure; doubled with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(20);

pub(super) type Config<P> = Box<dyn FnMut(usize) -> <P as crate::Process>::Config + Send>;

pub(super) struct Staff<P: Commands> {
    pub hands: Vec<Hand>,
    seats: Vec<Seat>,
    system: System,
    office: Arc<Office>,
    workers: Workers,
    prefix: String,
    config: Config<P>,
    next_number: u64,
    /// Whoever waits for the first start.
    started: Option<Sender<Result<(), StartError>>>,
    /// Something has changed, so there may be somebody to start or to let go.
    is_due: bool,
}

/// A place for one active worker.
#[derive(Debug, Default)]
struct Seat {
    failed_starts: u32,
    barren: u32,
    /// Nobody is started for it before.
    not_before: Option<Instant>,
    was_filled: bool,
}

impl Seat {
    fn delay(&mut self, failures: u32) {
        self.not_before = Some(Instant::now() + FIRST_DELAY * (1 << failures.min(6)));
    }
}

impl<P: Commands> Staff<P> {
    pub(super) fn new(
        system: System,
        office: Arc<Office>,
        (workers, prefix): (Workers, String),
        config: Config<P>,
        started: Sender<Result<(), StartError>>,
    ) -> Self {
        let seats = (0..workers.count).map(|_| Seat::default()).collect();
        Self {
            hands: Vec::new(),
            seats,
            system,
            office,
            workers,
            prefix,
            config,
            next_number: 0,
            started: Some(started),
            is_due: true,
        }
    }

    /// Tells whoever waits for the first start how it went.
    pub(super) fn tell_start(&mut self, how: Result<(), StartError>) {
        if let Some(started) = self.started.take() {
            let _ = started.send(how); // it may have panicked meanwhile
        }
    }

    /// Starts whoever is missing and lets go whoever has nothing more to do. `is_ended`: the pool takes no more tasks;
    /// `is_idle`: and none is left to hand out.
    ///
    /// # Errors
    ///
    /// Why the pool can't go on.
    pub(super) fn turn(&mut self, is_ended: bool, is_idle: bool) -> Result<(), StartError> {
        for index in 0..self.hands.len() {
            let hand = &self.hands[index];
            let spent = hand.stage == Stage::Working && !hand.is_active();
            self.is_due |= spent;
            if hand.sent.is_empty() && (spent || (is_idle && hand.stage != Stage::Leaving)) {
                self.stop(index, self.workers.grace);
            }
        }
        let now = Instant::now;
        if !self.is_due && self.next_start().is_none_or(|at| at > now()) {
            return Ok(());
        }
        self.is_due = false;
        // After a close, those that are there finish what there is; only if nobody is left is somebody needed.
        if is_idle || (is_ended && self.hands.iter().any(Hand::is_active)) {
            return Ok(());
        }
        for seat in 0..self.seats.len() {
            let due = self.seats[seat].not_before.is_none_or(|at| at <= now());
            if due && !self.is_filled(seat) {
                self.seats[seat].not_before = None;
                self.start(seat)?;
            }
        }
        Ok(())
    }

    fn is_filled(&self, seat: usize) -> bool {
        self.hands.iter().any(|hand| hand.seat == seat && hand.is_active())
    }

    /// When somebody is to be started, if nobody is now.
    pub(super) fn next_start(&self) -> Option<Instant> {
        self.seats.iter().filter_map(|seat| seat.not_before).min()
    }

    fn start(&mut self, seat: usize) -> Result<(), StartError> {
        let (number, name) = (self.next_number, self.free_name());
        self.next_number += 1;
        let config = catch_unwind(AssertUnwindSafe(|| (self.config)(seat))).map_err(|panic| {
            let why = format!("the pool's own function for its configuration panicked: {}", panics::text(&*panic));
            StartError { name: name.clone(), why, exit: None }
        })?;
        let mut spawn = self.system.spawn::<P>(config).name(name.clone()).restart(Restart::never());
        if let Some(limit) = self.workers.ready_within {
            spawn = spawn.ready_within(limit);
        }
        if let Some(bytes) = self.workers.memory_limit {
            spawn = spawn.memory_limit(bytes);
        }
        if let Some(executable) = &self.workers.executable {
            spawn = spawn.executable(executable.clone());
        }
        for (variable, value) in &self.workers.environment {
            spawn = spawn.env(variable, value);
        }
        let office = self.office.clone();
        let witness = Witness(Box::new(move |life| office.give(Order::Life(number, life))));
        match spawn.witness(witness).begin() {
            Ok(starting) => {
                let max_tasks = self.workers.max_tasks;
                self.hands.push(Hand::new((number, seat, name), starting.into_parts(), max_tasks));
                self.tell_roster();
                Ok(())
            }
            Err(error) => self.failed_start(seat, error),
        }
    }

    /// The lowest that nobody has: names come again, so that nothing grows with their number.
    fn free_name(&self) -> String {
        let is_free = |name: &String| self.hands.iter().all(|hand| hand.name != *name);
        let mut names = (0..).map(|number| format!("{}-{number}", self.prefix));
        names.find(is_free).unwrap_or_default()
    }

    fn tell_roster(&self) {
        let roster = self.hands.iter().filter(|hand| hand.stage == Stage::Working);
        self.office.set_roster(roster.map(|hand| (hand.name.clone(), hand.handle.status.clone())).collect());
    }

    fn failed_start(&mut self, seat: usize, error: StartError) -> Result<(), StartError> {
        let failures = &mut self.seats[seat].failed_starts;
        *failures += 1;
        if self.started.is_some() || *failures >= MAX_FAILED_STARTS {
            return Err(error);
        }
        later!(warn, "could not {error}; it is tried again");
        let failures = *failures;
        self.seats[seat].delay(failures);
        Ok(())
    }

    /// A worker is ready: it gets its bench.
    pub(super) fn opened(&mut self, index: usize, rest: &mut Rest, is_ended: bool) -> Result<(), StartError> {
        let hand = &mut self.hands[index];
        if hand.stage != Stage::Starting {
            return Ok(());
        }
        let set_up = Desk::set_up(self.workers.max_memory).and_then(|(desk, offer)| {
            hand.handle.connection.send(0, &offer, None, Some(Instant::now()))?;
            rest.join(hand.number, &desk)?;
            Ok(desk)
        });
        let seat = hand.seat;
        match set_up {
            Ok(desk) => {
                hand.desk = Some(desk);
                hand.stage = Stage::Working;
                hand.since = Instant::now();
                self.seats[seat].failed_starts = 0;
                self.seats[seat].was_filled = true;
            }
            Err(error) => {
                let error = StartError { name: hand.name.clone(), why: format!("could not {error}"), exit: None };
                self.stop(index, Duration::ZERO);
                return self.failed_start(seat, error);
            }
        }
        self.tell_roster();
        if is_ended || self.seats.iter().all(|seat| seat.was_filled) {
            self.tell_start(Ok(()));
        }
        Ok(())
    }

    /// A worker has ended, and its tasks are settled.
    pub(super) fn closed(&mut self, index: usize, rest: &mut Rest, how: &Exit) -> Result<(), StartError> {
        let hand = &mut self.hands[index];
        let seat = &mut self.seats[hand.seat];
        hand.desk.take().iter().for_each(|desk| rest.leave(desk));
        // One that wasn't ready says why in a moment; one that leaves has done so.
        if hand.stage != Stage::Working {
            return Ok(());
        }
        hand.stage = Stage::Leaving;
        later!(warn, worker = hand.name, "a pool's worker ended: {how}");
        if hand.done > 0 || hand.since.elapsed() > SOUND_AFTER {
            seat.barren = 0;
            return Ok(());
        }
        seat.barren += 1;
        if seat.barren < MAX_BARREN {
            if seat.barren > 1 {
                seat.delay(seat.barren);
            }
            return Ok(());
        }
        let why = format!("{} in a row died without having done anything, the last one so: {how}", seat.barren);
        Err(StartError { name: hand.name.clone(), why, exit: Some(how.clone()) })
    }

    /// A worker is gone for good.
    pub(super) fn over(&mut self, index: usize) -> Result<(), StartError> {
        let hand = self.hands.swap_remove(index);
        self.is_due = true;
        self.tell_roster();
        match hand.is_ready.try_recv() {
            Ok(Err(NotStarted { why, exit })) if hand.stage == Stage::Starting => {
                self.failed_start(hand.seat, StartError { name: hand.name, why, exit })
            }
            _ => Ok(()),
        }
    }

    /// Lets a worker go; its tasks are settled, or will be when it has ended.
    pub(super) fn stop(&mut self, index: usize, grace: Duration) {
        let hand = &mut self.hands[index];
        hand.stage = Stage::Leaving;
        self.is_due = true;
        hand.handle.stop_soon(grace);
    }

    /// A worker can't be talked to.
    pub(super) fn give_up(&mut self, index: usize, rest: &mut Rest, why: &dyn Display) {
        let hand = &self.hands[index];
        later!(warn, worker = hand.name, "a pool's worker is killed: could not {why}");
        hand.desk.iter().for_each(|desk| rest.leave(desk));
        self.stop(index, Duration::ZERO);
    }
}
