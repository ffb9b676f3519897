//! What systemd is to be told, and when: pure decisions. Time is an argument, and what was said is told back, because a full
//! socket may take nothing.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{status, watchdog::Watchdog};
use crate::{
    State,
    far::after,
    logs::later,
    supervisor::{Census, Standing},
};

/// A status that changes all the time is told no more often than this.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// How much longer a stop may take is told in steps of this, each at half of the one before: a service that hangs while it
/// stops is given up this much later, and not at the end of all that it was allowed.
const EXTENSION: Duration = Duration::from_secs(10);

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Say {
    Ready { status: String },
    Status(String),
    Watchdog,
    Reloading { monotonic_us: u64 },
    Reloaded,
    Stopping { status: String },
    Extend(Duration),
}

impl Say {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Ready { status } => format!("READY=1\nSTATUS={status}"),
            Self::Status(status) => format!("STATUS={status}"),
            Self::Watchdog => "WATCHDOG=1".to_owned(),
            Self::Reloading { monotonic_us } => format!("RELOADING=1\nMONOTONIC_USEC={monotonic_us}"),
            Self::Reloaded => "READY=1".to_owned(),
            Self::Stopping { status } => format!("STOPPING=1\nSTATUS={status}"),
            Self::Extend(more) => format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Herald {
    /// Their names; none stands for all that there are.
    required: Vec<String>,
    watchdog: Option<Watchdog>,
    started: bool,
    is_ready: bool,
    reloads: VecDeque<Say>,
    reloading: u32,
    drain: Option<Drain>,
    status: Option<(String, Instant)>,
    stuck: Vec<String>,
    next: Option<Instant>,
}

#[derive(Debug)]
struct Drain {
    told: bool,
    until: Instant,
    extend_at: Instant,
}

impl Herald {
    pub(super) fn new(required: Vec<String>, watchdog: Option<Watchdog>) -> Self {
        Self { required, watchdog, ..Self::default() }
    }

    /// The application has started whatever it starts.
    pub(super) fn started(&mut self) {
        self.started = true;
    }

    pub(super) fn reload(&mut self, say: Say) {
        if !self.is_ready {
            return; // nothing is loaded anew, and the end of that would be taken for the service's readiness
        }
        let begins = matches!(say, Say::Reloading { .. });
        let before = self.reloading;
        self.reloading = if begins { before + 1 } else { before.saturating_sub(1) };
        // Of several at once the last one's end is the end.
        if begins || before == 1 {
            self.reloads.push_back(say);
        }
    }

    pub(super) fn stopping(&mut self, limit: Duration, now: Instant) {
        let until = after(now, limit);
        match &mut self.drain {
            Some(drain) => drain.until = until,
            None => self.drain = Some(Drain { told: false, until, extend_at: now }),
        }
    }

    /// What is to be said now. `census` is the supervisor's answer to a question that was put after it had turned last;
    /// without one it doesn't turn, and nothing is said on its behalf.
    pub(super) fn wants(&mut self, census: Option<&Census>, now: Instant) -> Vec<Say> {
        let Some(census) = census else {
            self.next = None;
            let untold = self.drain.as_ref().is_some_and(|drain| !drain.told);
            return untold.then(|| Say::Stopping { status: "stopping".to_owned() }).into_iter().collect();
        };
        if census.stopping && self.drain.is_none() {
            self.stopping(Duration::ZERO, now);
        }
        let required = self.required_of(census);
        let all_ready = self.all_are_ready(&required);
        let mut next = Vec::new();
        let mut says = Vec::new();
        if let Some(watchdog) = &mut self.watchdog {
            let stuck = watchdog.stuck(&required, now);
            if !stuck.is_empty() && self.stuck.is_empty() {
                let names = stuck.join(", ");
                later!(warn, "the watchdog gets no sign of life: {names} has something to do, and makes no progress");
            }
            self.stuck = stuck;
            if self.stuck.is_empty() && watchdog.is_due(now) {
                says.push(Say::Watchdog);
            }
            next.push(watchdog.next(now));
        }
        let status = status::line(census, self.drain.is_some(), &self.stuck);
        let is_new = self.status.as_ref().is_none_or(|(told, _)| *told != status);
        let status_at = self.status.as_ref().map_or(now, |(_, at)| *at + STATUS_EVERY);
        match &self.drain {
            Some(drain) if !drain.told => says.push(Say::Stopping { status }),
            Some(drain) if drain.until > now && drain.extend_at <= now => {
                says.push(Say::Extend((drain.until - now).min(EXTENSION)));
                says.extend((is_new && status_at <= now).then_some(Say::Status(status)));
            }
            None if self.started && !self.is_ready && all_ready => says.push(Say::Ready { status }),
            _ if is_new && status_at <= now => says.push(Say::Status(status)),
            _ => next.extend(is_new.then_some(status_at)),
        }
        if self.drain.is_none() {
            says.extend(self.reloads.iter().cloned());
        }
        next.extend(self.drain.iter().filter(|drain| drain.until > now).map(|drain| drain.extend_at));
        self.next = next.into_iter().min();
        says
    }

    /// It was said.
    pub(super) fn said(&mut self, say: &Say, now: Instant) {
        match say {
            Say::Watchdog => self.watchdog.iter_mut().for_each(|watchdog| watchdog.said(now)),
            Say::Status(status) => self.status = Some((status.clone(), now)),
            Say::Ready { status } => {
                self.is_ready = true;
                self.status = Some((status.clone(), now));
            }
            Say::Stopping { status } => {
                self.status = Some((status.clone(), now));
                self.drain.iter_mut().for_each(|drain| drain.told = true);
            }
            Say::Extend(more) => self.drain.iter_mut().for_each(|drain| drain.extend_at = now + *more / 2),
            Say::Reloading { .. } | Say::Reloaded => _ = self.reloads.pop_front(),
        }
    }

    /// When it wants to be asked next, as of the last time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn required_of<'c>(&self, census: &'c Census) -> Vec<&'c Standing> {
        let named = |standing: &&Standing| self.required.is_empty() || self.required.contains(&standing.name);
        census.standings.iter().filter(|standing| standing.state != State::Exited).filter(named).collect()
    }

    fn all_are_ready(&self, required: &[&Standing]) -> bool {
        let is_there = |name: &String| required.iter().any(|standing| standing.name == *name);
        required.iter().all(|standing| standing.state == State::Ready) && self.required.iter().all(is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn census(states: &[(&str, State)]) -> Census {
        let standing = |(id, (name, state)): (usize, &(&str, State))| Standing {
            id: id as u64,
            name: (*name).to_owned(),
            state: *state,
            heart: (*state == State::Ready).then_some((1, true)),
        };
        Census { standings: states.iter().enumerate().map(standing).collect(), stopping: false }
    }

    /// All that it says at that time, said.
    fn hear(herald: &mut Herald, census: Option<&Census>, now: Instant) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let says = herald.wants(census, now);
            if says.is_empty() {
                return told;
            }
            for say in says {
                herald.said(&say, now);
                told.push(say.text().replace('\n', " "));
            }
        }
    }

    #[test]
    fn it_is_ready_once_all_that_are_required_are_and_the_application_has_said_so() {
        use State::*;
        let now = Instant::now();
        let mut herald = Herald::default();
        let (one, both) = (census(&[("a", Ready), ("b", Starting)]), census(&[("a", Ready), ("b", Ready)]));
        assert_eq!(hear(&mut herald, Some(&one), now), ["STATUS=1 of 2 ready, 1 starting: b"]);
        herald.started();
        assert!(hear(&mut herald, Some(&one), now).is_empty());
        assert_eq!(hear(&mut herald, Some(&both), now), ["READY=1 STATUS=2 of 2 ready"]);
        assert!(hear(&mut herald, Some(&both), now + 9 * SECOND).is_empty(), "once");

        let mut herald = Herald { required: vec!["b".to_owned()], ..Herald::default() };
        herald.started();
        assert!(!hear(&mut herald, Some(&one), now)[0].contains("READY=1"));
        let enough = census(&[("a", Failed), ("b", Ready)]);
        assert_eq!(hear(&mut herald, Some(&enough), now)[0], "READY=1 STATUS=1 of 2 ready, 1 failed: a");
        let mut herald = Herald { required: vec!["c".to_owned()], ..Herald::default() };
        herald.started();
        assert!(!hear(&mut herald, Some(&both), now)[0].contains("READY=1"), "nobody of that name");
    }

    #[test]
    fn a_status_that_changes_all_the_time_is_told_once_a_second() {
        let begin = Instant::now();
        let mut herald = Herald::default();
        let mut told = 0;
        for turn in 0..1000u32 {
            let state = if turn % 2 == 0 { State::Ready } else { State::Restarting };
            told += hear(&mut herald, Some(&census(&[("a", state)])), begin + turn * SECOND / 100).len();
        }
        assert!((10..=11).contains(&told), "{told} in ten seconds");
        let (last, now) = (census(&[("a", State::Failed)]), begin + 10 * SECOND);
        assert!(hear(&mut herald, Some(&last), now).is_empty());
        let at = herald.next().unwrap();
        assert_eq!(
            hear(&mut herald, Some(&last), at),
            ["STATUS=0 of 1 ready, 1 failed: a"],
            "and the last one in any case"
        );
    }

    #[test]
    fn what_could_not_be_said_is_said_later() {
        let now = Instant::now();
        let mut herald = Herald::default();
        herald.started();
        let all = census(&[("a", State::Ready)]);
        let first = herald.wants(Some(&all), now);
        assert_eq!(herald.wants(Some(&all), now), first, "until it is said");
        assert_eq!(hear(&mut herald, Some(&all), now).len(), first.len());
    }

    #[test]
    fn there_is_no_sign_of_life_without_the_supervisors_nor_while_a_required_process_is_stuck() {
        let begin = Instant::now();
        let watchdog = Some(Watchdog::new(8 * SECOND, None, begin));
        let mut herald = Herald { watchdog, required: vec!["a".to_owned()], ..Herald::default() };
        let both = census(&[("a", State::Ready), ("b", State::Ready)]);
        let alive = |told: Vec<String>| told.contains(&"WATCHDOG=1".to_owned());
        assert!(alive(hear(&mut herald, Some(&both), begin)));
        assert!(hear(&mut herald, None, begin + 4 * SECOND).is_empty(), "it doesn't turn");
        let mut moves = both.clone();
        moves.standings[0].heart = Some((3, true));
        assert!(alive(hear(&mut herald, Some(&moves), begin + 5 * SECOND)), "it turns again; b isn't required");
        let later = hear(&mut herald, Some(&moves), begin + 9 * SECOND);
        assert_eq!(later, ["STATUS=2 of 2 ready, 1 stuck: a"]);
        moves.standings[0].heart = None;
        moves.standings[0].state = State::Restarting;
        assert!(alive(hear(&mut herald, Some(&moves), begin + 10 * SECOND)), "it is being seen to");
    }

    #[test]
    fn a_stop_is_told_then_extended_step_by_step_up_to_its_limit() {
        let begin = Instant::now();
        let mut herald = Herald::default();
        let all = census(&[("a", State::Ready)]);
        hear(&mut herald, Some(&all), begin);
        herald.stopping(14 * SECOND, begin);
        let told = hear(&mut herald, Some(&all), begin);
        assert_eq!(told, ["STOPPING=1 STATUS=stopping, 1 still running: a", "EXTEND_TIMEOUT_USEC=10000000"]);
        assert!(hear(&mut herald, Some(&all), begin + 4 * SECOND).is_empty());
        assert_eq!(herald.next(), Some(begin + 5 * SECOND));
        assert!(hear(&mut herald, None, begin + 5 * SECOND).is_empty(), "a supervisor that hangs gets no more time");
        assert_eq!(hear(&mut herald, Some(&all), begin + 6 * SECOND), ["EXTEND_TIMEOUT_USEC=8000000"]);
        assert_eq!(hear(&mut herald, Some(&all), begin + 10 * SECOND), ["EXTEND_TIMEOUT_USEC=4000000"]);
        assert!(hear(&mut herald, Some(&all), begin + 15 * SECOND).is_empty());
        assert_eq!(herald.next(), None);
        // Everything told to stop says the same, and asks for nothing.
        let mut herald = Herald::default();
        let over = Census { stopping: true, ..all };
        assert_eq!(hear(&mut herald, Some(&over), begin), ["STOPPING=1 STATUS=stopping, 1 still running: a"]);
    }

    #[test]
    fn a_stop_without_a_limit_is_extended_again_and_again() {
        let begin = Instant::now();
        let (mut herald, all) = (Herald::default(), census(&[("a", State::Ready)]));
        herald.stopping(Duration::MAX, begin);
        hear(&mut herald, Some(&all), begin);
        for turn in 1..100 {
            let told = hear(&mut herald, Some(&all), begin + turn * 5 * SECOND);
            assert_eq!(told, ["EXTEND_TIMEOUT_USEC=10000000"], "{turn}");
        }
    }

    #[test]
    fn a_reload_begins_and_ends_but_not_before_the_service_is_ready() {
        let now = Instant::now();
        let (mut herald, all) = (Herald::default(), census(&[("a", State::Ready)]));
        herald.reload(Say::Reloading { monotonic_us: 1 });
        herald.started();
        assert_eq!(hear(&mut herald, Some(&all), now), ["READY=1 STATUS=1 of 1 ready"]);
        herald.reload(Say::Reloaded);
        assert!(hear(&mut herald, Some(&all), now).is_empty());
        herald.reload(Say::Reloading { monotonic_us: 7 });
        herald.reload(Say::Reloading { monotonic_us: 8 });
        herald.reload(Say::Reloaded);
        let told = hear(&mut herald, Some(&all), now);
        assert_eq!(told, ["RELOADING=1 MONOTONIC_USEC=7", "RELOADING=1 MONOTONIC_USEC=8"]);
        herald.reload(Say::Reloaded);
        assert_eq!(hear(&mut herald, Some(&all), now), ["READY=1"]);
    }
}
