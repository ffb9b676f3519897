//! Processes of which one after another is killed, or stopped for a while, and replaced.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use shm::status::{Number, StatusPage, StatusView};

use crate::{Outcome, chance::Chance, child::Other};

/// Some processes, each with a lane of its own: who takes a dead one's place takes its lane.
pub struct Crowd<'a> {
    others: Vec<Other>,
    /// Counts stops and their ends: odd while somebody is stopped.
    stops: &'a StatusPage,
    stopped: Option<(usize, Instant)>,
    /// How many were killed, or killed themselves, in each lane.
    deaths: Vec<u64>,
}

/// How long one is stopped, at most.
const STOP: Duration = Duration::from_millis(200);
const STOPS: Number = Number::Restarts;

impl<'a> Crowd<'a> {
    pub fn gather(
        lanes: usize,
        stops: &'a StatusPage,
        mut start: impl FnMut(usize) -> Outcome<Other>,
    ) -> Outcome<Self> {
        let others = (0..lanes).map(&mut start).collect::<Outcome<Vec<_>>>()?;
        Ok(Self { others, stops, stopped: None, deaths: vec![0; lanes] })
    }

    /// Kills one, now and then, and stops one or lets it go on. Whoever died is replaced by `start`. Says whether anybody died.
    pub fn disturb(&mut self, chance: &mut Chance, start: &mut dyn FnMut(usize) -> Outcome<Other>) -> Outcome<bool> {
        let mut died = self.replace_the_dead(start)?;
        let victim = chance.below(self.others.len() as u64) as usize;
        if chance.once_in(6) {
            self.others[victim].kill()?;
            self.replace(victim, start)?;
            died = true;
        }
        match self.stopped {
            Some((_, until)) if Instant::now() >= until => self.resume()?,
            None if chance.once_in(100) => {
                self.stops.add(STOPS, 1);
                self.others[victim].signal(Signal::STOP)?;
                self.stopped = Some((victim, Instant::now() + STOP.mul_f64(chance.below(1000) as f64 / 1000.0)));
            }
            _ => {}
        }
        Ok(died)
    }

    /// Replaces who died by its own hand; says whether anybody did.
    pub fn replace_the_dead(&mut self, start: &mut dyn FnMut(usize) -> Outcome<Other>) -> Outcome<bool> {
        let mut died = false;
        for lane in 0..self.others.len() {
            if self.others[lane].has_died()? {
                self.replace(lane, start)?;
                died = true;
            }
        }
        Ok(died)
    }

    fn replace(&mut self, lane: usize, start: &mut dyn FnMut(usize) -> Outcome<Other>) -> Outcome {
        self.deaths[lane] += 1;
        // It is no process any more, which could be told to go on.
        if self.stopped.take_if(|(stopped, _)| *stopped == lane).is_some() {
            self.stops.add(STOPS, 1);
        }
        self.others[lane] = start(lane)?;
        Ok(())
    }

    /// Lets the stopped one go on.
    pub fn resume(&mut self) -> Outcome {
        if let Some((lane, _)) = self.stopped.take() {
            self.stops.add(STOPS, 1);
            self.others[lane].signal(Signal::CONT)?;
        }
        Ok(())
    }

    pub fn anybody_is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Kills all that are left. They aren't replaced.
    pub fn disperse(&mut self) -> Outcome {
        self.resume()?;
        for (other, deaths) in self.others.iter_mut().zip(&mut self.deaths) {
            // Who has found something wrong is heard.
            other.has_died()?;
            other.kill()?;
            *deaths += 1;
        }
        self.others.clear();
        Ok(())
    }

    pub fn deaths(&self, lanes: impl IntoIterator<Item = usize>) -> u64 {
        lanes.into_iter().map(|lane| self.deaths[lane]).sum()
    }

    pub fn killed(&self) -> u64 {
        self.deaths.iter().sum()
    }
}

/// How often somebody was stopped and went on, and `None` while somebody is: what took as long as that lasted means nothing.
pub fn undisturbed(stops: &StatusView) -> Option<u64> {
    Some(stops.get(STOPS)).filter(|stops| stops.is_multiple_of(2))
}

/// What takes long now is nobody's fault.
pub fn excuse(stops: &StatusPage) {
    stops.add(STOPS, 2);
}
