//! Planned replacement: when a process is due, and how soon a replacement that went wrong is tried again.

use std::time::{Duration, Instant};

use crate::Due;

/// A process in flight may be at something long; one that never ends must not keep two incarnations for ever.
const FINISH_WITHIN: Duration = Duration::from_secs(30);
/// A replacement that doesn't get ready is tried again, at the latest, after this: its predecessor works meanwhile.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// One that took longer than this to have too much memory isn't to blame for its limit.
const SOUND_AFTER: Duration = Duration::from_secs(1);
/// The first time.
const FIRST_DELAY: Duration = Duration::from_millis(200);

/// When a process is replaced as planned ([`Spawn::recycle`](crate::Spawn::recycle)): before it has grown too large, or old.
///
/// ```
/// use process::Recycle;
/// use std::time::Duration;
/// let policy = Recycle::after_calls(10_000).or(Recycle::above_memory(512 << 20)).finish_within(Duration::from_secs(5));
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says nothing until a process is spawned with it"]
pub struct Recycle {
    calls: Option<u64>,
    age: Option<Duration>,
    memory_bytes: Option<u64>,
    pub(crate) finish_within: Duration,
}

impl Recycle {
    const NEVER: Self = Self { calls: None, age: None, memory_bytes: None, finish_within: FINISH_WITHIN };

    /// When it has answered so many calls, at least 1. It goes on answering until its replacement is ready, so it may answer
    /// some more.
    pub fn after_calls(calls: u64) -> Self {
        Self { calls: Some(calls.max(1)), ..Self::NEVER }
    }

    /// When it has been ready for so long, or up to a tenth shorter: many that were started at once aren't replaced at once.
    pub fn after(age: Duration) -> Self {
        Self { age: Some(age), ..Self::NEVER }
    }

    /// When it has more private memory than so many bytes. It is looked at four times a second. (A
    /// [`memory_limit`](crate::Spawn::memory_limit) above it is for what grows faster.)
    pub fn above_memory(bytes: u64) -> Self {
        Self { memory_bytes: Some(bytes), ..Self::NEVER }
    }

    /// Whichever comes first; of two that say the same, the lower number. The shorter
    /// [`finish_within`](Self::finish_within) is taken.
    pub fn or(self, other: Self) -> Self {
        let least = |one: Option<u64>, two: Option<u64>| one.into_iter().chain(two).min();
        Self {
            calls: least(self.calls, other.calls),
            age: self.age.into_iter().chain(other.age).min(),
            memory_bytes: least(self.memory_bytes, other.memory_bytes),
            finish_within: self.finish_within.min(other.finish_within),
        }
    }

    /// How long the old one has to finish its calls and to stop, once its replacement has taken over; by default 30 s. What
    /// it hasn't finished then ends with [`Died`](crate::CallError::Died).
    pub fn finish_within(self, limit: Duration) -> Self {
        Self { finish_within: limit, ..self }
    }

    /// After how many calls it is due.
    pub(crate) fn calls(self) -> Option<u64> {
        self.calls
    }

    pub(crate) fn looks_at_memory(self) -> bool {
        self.memory_bytes.is_some()
    }
}

/// The replacements of one process.
#[derive(Debug)]
pub(crate) struct Recycling {
    policy: Recycle,
    /// In a row, that didn't get ready.
    failures: u32,
    /// How long the one at work is left alone although it has too much memory.
    patience: Duration,
    not_before: Option<Instant>,
}

/// An incarnation at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub since: Instant,
    pub answered: u64,
    /// Its private memory, if it was looked at.
    pub memory_bytes: Option<u64>,
    /// By how much it is replaced earlier, from 0 to 1.
    pub chance: f64,
}

impl Recycling {
    pub(crate) fn new(policy: Recycle) -> Self {
        Self { policy, failures: 0, patience: Duration::ZERO, not_before: None }
    }

    /// Whether, and why, an incarnation is to be replaced `now`.
    pub(crate) fn due(&self, service: &Service, now: Instant) -> Option<Due> {
        if self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let Recycle { calls, age, memory_bytes, .. } = self.policy;
        let calls = calls.filter(|calls| service.answered >= *calls).map(|_| Due::Calls(service.answered));
        let memory = service.memory_bytes.filter(|has| memory_bytes.is_some_and(|most| *has > most));
        let worked = now.duration_since(service.since);
        let old = age.is_some_and(|age| worked >= early(age, service.chance));
        calls.or(memory.map(Due::Memory)).or(old.then_some(Due::Age(worked)))
    }

    /// When that must be asked although nothing happens.
    pub(crate) fn next_look(&self, service: &Service) -> Option<Instant> {
        let old_at = self.policy.age.and_then(|age| service.since.checked_add(early(age, service.chance)));
        // After a failed try nothing is due before this; then all of it is looked at.
        self.not_before.or(old_at)
    }

    /// A replacement didn't get ready. Gives how long until the next try.
    pub(crate) fn failed(&mut self, now: Instant, chance: f64) -> Duration {
        let doubled = FIRST_DELAY.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.min(LONGEST_DELAY).mul_f64(1.0 - chance / 4.0);
        self.not_before = now.checked_add(delay);
        delay
    }

    /// A replacement has taken over from one that had worked for so long.
    pub(crate) fn succeeded(&mut self, why: Due, worked: Duration, now: Instant, chance: f64) {
        (self.failures, self.not_before) = (0, None);
        if matches!(why, Due::Memory(_)) {
            // If even a new one has more than that, the limit is wrong, and replacing doesn't help: ever more slowly then.
            let was_due_at_once = worked <= self.patience * 2 + SOUND_AFTER;
            let doubled = (self.patience * 2).clamp(FIRST_DELAY, LONGEST_DELAY);
            self.patience = if was_due_at_once { doubled } else { Duration::ZERO };
            self.not_before = now.checked_add(self.patience.mul_f64(1.0 - chance / 4.0));
        }
    }

    pub(crate) fn passed(&mut self, now: Instant) {
        if self.not_before.is_some_and(|at| at <= now) {
            self.not_before = None;
        }
    }
}

fn early(age: Duration, chance: f64) -> Duration {
    age.mul_f64(1.0 - chance / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(since: Instant, answered: u64, memory_bytes: Option<u64>) -> Service {
        Service { since, answered, memory_bytes, chance: 0.0 }
    }

    #[test]
    fn whichever_comes_first_makes_it_due() {
        let now = Instant::now();
        let policy =
            Recycle::after_calls(10).or(Recycle::after(Duration::from_secs(60))).or(Recycle::above_memory(100));
        let recycling = Recycling::new(policy.or(Recycle::after_calls(20)));
        let due = |answered, memory, seconds| {
            recycling.due(&service(now, answered, memory), now + Duration::from_secs(seconds))
        };
        assert_eq!(due(9, Some(100), 59), None);
        assert_eq!(due(10, Some(100), 59), Some(Due::Calls(10)));
        assert_eq!(due(9, Some(101), 59), Some(Due::Memory(101)));
        assert_eq!(due(9, None, 60), Some(Due::Age(Duration::from_secs(60))));
        assert_eq!(recycling.next_look(&service(now, 0, None)), Some(now + Duration::from_secs(60)));
        let early = Service { chance: 1.0, ..service(now, 0, None) };
        assert_eq!(recycling.next_look(&early), Some(now + Duration::from_secs(54)), "up to a tenth");
        assert!(recycling.due(&early, now + Duration::from_secs(54)).is_some());
    }

    #[test]
    fn a_replacement_that_fails_is_tried_ever_more_slowly() {
        let (now, mut recycling) = (Instant::now(), Recycling::new(Recycle::after_calls(1)));
        let delays: Vec<u128> = (0..10).map(|_| recycling.failed(now, 0.0).as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000]);
        let worker = service(now, 5, None);
        let again = now + Duration::from_secs(60);
        assert_eq!(recycling.due(&worker, now + Duration::from_secs(59)), None);
        assert_eq!(recycling.next_look(&worker), Some(again));
        assert_eq!(recycling.due(&worker, again), Some(Due::Calls(5)));
        recycling.succeeded(Due::Calls(5), Duration::ZERO, again, 0.0);
        assert_eq!(recycling.due(&worker, again), Some(Due::Calls(5)), "calls are what was asked for: no delay");
        assert_eq!(recycling.failed(again, 0.0), FIRST_DELAY, "it begins anew");
    }

    /// A limit below what even a new process needs: not a new one every moment.
    #[test]
    fn a_memory_limit_that_nobody_can_keep_ends_in_patience() {
        let (mut now, mut recycling) = (Instant::now(), Recycling::new(Recycle::above_memory(1)));
        let (begin, mut since, mut replaced) = (now, now, 0);
        while now.duration_since(begin) < Duration::from_secs(3600) {
            now += Duration::from_millis(250);
            recycling.passed(now);
            if let Some(why) = recycling.due(&service(since, 0, Some(2)), now) {
                recycling.succeeded(why, now.duration_since(since), now, 0.0);
                (since, replaced) = (now, replaced + 1);
            }
        }
        assert!((50..80).contains(&replaced), "{replaced} within an hour");
    }
}
