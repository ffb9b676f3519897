//! When systemd's watchdog gets its sign of life: pure, time is an argument.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::supervisor::Standing;

#[derive(Debug)]
pub(super) struct Watchdog {
    /// Half of what systemd allows, so that one sign that comes late is no catastrophe.
    every: Duration,
    /// A process that made no progress for longer is stuck.
    limit: Duration,
    due: Instant,
    look_at: Instant,
    /// The hearts as they were seen first in their present state, and when.
    hearts: HashMap<u64, (u64, Instant)>,
}

impl Watchdog {
    pub(super) fn new(allowed: Duration, limit: Option<Duration>, now: Instant) -> Self {
        let every = allowed / 2;
        Self { every, limit: limit.unwrap_or(every), due: now, look_at: now, hearts: HashMap::new() }
    }

    /// What systemd says this process has: `None` if nothing, or if it is meant for another one.
    pub(super) fn allowed_by_environment() -> Option<Duration> {
        let variable = |name: &str| std::env::var(name).ok();
        let own = std::process::id().to_string();
        allowed(variable("WATCHDOG_USEC").as_deref(), variable("WATCHDOG_PID").as_deref(), &own)
    }

    /// Those of these who have something to do and made no progress for longer than they may.
    pub(super) fn stuck(&mut self, required: &[&Standing], now: Instant) -> Vec<String> {
        let mut hearts = HashMap::new();
        let mut stuck = Vec::new();
        for standing in required {
            let Some((beat, has_something_to_do)) = standing.heart else { continue };
            let seen = self.hearts.get(&standing.id).copied().unwrap_or((beat, now));
            let seen = if seen.0 != beat || !has_something_to_do { (beat, now) } else { seen };
            if now.duration_since(seen.1) >= self.limit {
                stuck.push(standing.name.clone());
            }
            hearts.insert(standing.id, seen);
        }
        self.hearts = hearts;
        self.look_at = now + self.look_every();
        stuck
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    pub(super) fn said(&mut self, now: Instant) {
        self.due = now + self.every;
    }

    /// When to look again, whatever happens.
    pub(super) fn next(&self, now: Instant) -> Instant {
        let due = if self.is_due(now) { self.look_at } else { self.due };
        due.min(self.look_at)
    }

    /// So that a sign of life which was withheld comes soon after its cause is gone, and the limit is kept by a quarter.
    pub(super) fn look_every(&self) -> Duration {
        (self.limit / 4).min(self.every / 4).max(Duration::from_millis(1))
    }
}

fn allowed(usec: Option<&str>, pid: Option<&str>, own_pid: &str) -> Option<Duration> {
    let usec: u64 = usec?.parse().ok().filter(|usec| *usec > 0)?;
    pid.is_none_or(|pid| pid == own_pid).then(|| Duration::from_micros(usec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    fn standing(beat: u64, busy: bool) -> Standing {
        Standing { id: 1, name: "w".to_owned(), state: State::Ready, heart: Some((beat, busy)) }
    }

    #[test]
    fn the_environment_is_believed_only_if_it_means_us() {
        assert_eq!(allowed(Some("2000000"), None, "7"), Some(Duration::from_secs(2)));
        assert_eq!(allowed(Some("2000000"), Some("7"), "7"), Some(Duration::from_secs(2)));
        assert_eq!(allowed(Some("2000000"), Some("8"), "7"), None);
        for nonsense in ["", "0", "-1", "1s", "99999999999999999999999"] {
            assert_eq!(allowed(Some(nonsense), None, "7"), None, "{nonsense}");
        }
    }

    #[test]
    fn only_work_without_progress_is_stuck_and_only_while_it_lasts() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut watchdog = Watchdog::new(Duration::from_secs(20), None, begin);
        assert!(watchdog.stuck(&[&standing(5, true)], at(0)).is_empty());
        assert!(watchdog.stuck(&[&standing(5, true)], at(9)).is_empty());
        assert_eq!(watchdog.stuck(&[&standing(5, true)], at(10)), ["w"]);
        assert!(watchdog.stuck(&[&standing(7, true)], at(11)).is_empty(), "it made progress");
        assert!(watchdog.stuck(&[&standing(7, true)], at(20)).is_empty());
        assert_eq!(watchdog.stuck(&[&standing(7, true)], at(21)), ["w"]);
        for second in [30, 300] {
            assert!(watchdog.stuck(&[&standing(8, false)], at(second)).is_empty(), "nothing to do");
        }
        let gone = Standing { heart: None, ..standing(0, false) };
        assert!(watchdog.stuck(&[&gone], at(400)).is_empty(), "not ready: its supervisor sees to that");
        assert!(watchdog.stuck(&[&standing(8, true)], at(500)).is_empty(), "a new incarnation begins anew");
    }

    #[test]
    fn signs_come_at_half_time_and_a_withheld_one_as_soon_as_it_can() {
        let begin = Instant::now();
        let mut watchdog = Watchdog::new(Duration::from_secs(8), None, begin);
        assert!(watchdog.is_due(begin));
        watchdog.said(begin);
        let nobody = watchdog.stuck(&[], begin);
        assert!(nobody.is_empty() && !watchdog.is_due(begin + Duration::from_millis(3999)));
        let late = begin + Duration::from_secs(4);
        assert!(watchdog.is_due(late));
        watchdog.stuck(&[], late);
        assert_eq!(watchdog.next(late), late + Duration::from_secs(1));
    }
}
