//! When wires are joined anew that were lost while both their ends live.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a lost wire stays so: what broke it, such as too many open descriptors, may last, and joining it anew all the time
/// would help nobody.
const FIRST: Duration = Duration::from_millis(250);

/// One that is lost each time, such as a view that its decoder has no room for, waits twice as long after each, up to this: a
/// person who has made room waits that long.
const LONGEST: Duration = Duration::from_secs(8);

/// A wire that held for so long was well.
const HELD: Duration = Duration::from_secs(2);

/// Wires by their places.
#[derive(Debug, Default)]
pub(crate) struct Rejoins {
    /// When each is to be joined.
    waiting: Vec<(Instant, usize)>,
    lost: HashMap<usize, Lost>,
}

/// The last time that a wire was lost.
#[derive(Debug)]
struct Lost {
    at: Instant,
    delay: Duration,
}

impl Rejoins {
    /// A wire was lost just now.
    pub(crate) fn lost(&mut self, wire: usize, now: Instant) {
        if self.waiting.iter().any(|(_, waiting)| *waiting == wire) {
            return;
        }
        let again = self.lost.get(&wire).filter(|last| now < last.at + last.delay + HELD);
        let delay = again.map_or(FIRST, |last| (last.delay * 2).min(LONGEST));
        self.lost.insert(wire, Lost { at: now, delay });
        self.waiting.push((now + delay, wire));
    }

    /// One of its ends is another process now: that it was lost before says nothing.
    pub(crate) fn renewed(&mut self, wire: usize) {
        self.lost.remove(&wire);
    }

    /// It was joined, for whatever reason.
    pub(crate) fn joined(&mut self, wire: usize) {
        self.waiting.retain(|(_, waiting)| *waiting != wire);
    }

    /// When [`take_due`](Self::take_due) gives the next one.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.waiting.iter().map(|(at, _)| *at).min()
    }

    /// Those whose time has come. They wait no more.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<usize> {
        self.waiting.extract_if(.., |(at, _)| *at <= now).map(|(_, wire)| wire).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a wire waits that is lost as soon as it is joined, so many times.
    fn delays(rejoins: &mut Rejoins, now: &mut Instant, times: usize) -> Vec<Duration> {
        let one = |_| {
            rejoins.lost(0, *now);
            let due = rejoins.next().unwrap();
            assert!(rejoins.take_due(due - Duration::from_millis(1)).is_empty(), "not early");
            assert_eq!(rejoins.take_due(due), [0]);
            assert_eq!(rejoins.next(), None);
            let delay = due - *now;
            *now = due + Duration::from_millis(5);
            delay
        };
        (0..times).map(one).collect()
    }

    #[test]
    fn a_wire_that_is_lost_each_time_waits_longer_each_time_and_one_that_held_does_not() {
        let (mut rejoins, mut now) = (Rejoins::default(), Instant::now());
        let seconds: Vec<f64> = delays(&mut rejoins, &mut now, 8).iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
        now += HELD + LONGEST;
        assert_eq!(delays(&mut rejoins, &mut now, 2), [FIRST, FIRST * 2]);
        rejoins.renewed(0);
        assert_eq!(delays(&mut rejoins, &mut now, 1), [FIRST]);
    }

    #[test]
    fn a_wire_waits_once_and_not_at_all_once_it_is_joined() {
        let (mut rejoins, now) = (Rejoins::default(), Instant::now());
        rejoins.lost(3, now);
        rejoins.lost(3, now + FIRST / 2);
        rejoins.lost(4, now + FIRST / 2);
        assert_eq!(rejoins.next(), Some(now + FIRST));
        rejoins.joined(3);
        assert_eq!(rejoins.take_due(now + LONGEST), [4]);
    }
}
