//! When a process is started again, and how soon.

use std::time::{Duration, Instant};

use crate::Exit;

/// A restart policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    when: When,
    at_most: u32,
    within: Duration,
    longest_delay: Duration,
    from_the_start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Never,
    OnFailure,
    Always,
}

/// The default for groups too.
pub(crate) const LONGEST: Duration = LONGEST_DELAY;
/// The first restart comes at once, but for this: long enough that a process that dies at start doesn't spin a core.
const FIRST_DELAY: Duration = Duration::from_millis(20);
/// Back-off doubles up to this: a person who mends the cause shouldn't wait longer.
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// One that worked for so long hadn't the fault that back-off is for.
const SOUND_AFTER: Duration = Duration::from_secs(2);

impl Restart {
    /// It isn't started again (a *temporary* process).
    #[must_use]
    pub fn never() -> Self {
        let (at_most, within) = (0, Duration::ZERO);
        Self { when: When::Never, at_most, within, longest_delay: LONGEST_DELAY, from_the_start: false }
    }

    /// It is started again unless it ended with exit code 0 (a *transient* process); by default at most 5 times within a minute.
    #[must_use]
    pub fn on_failure() -> Self {
        Self { when: When::OnFailure, at_most: 5, within: Duration::from_secs(60), ..Self::never() }
    }

    /// It is started again however it ended (a *permanent* process); by default at most 5 times within a minute.
    #[must_use]
    pub fn always() -> Self {
        Self { when: When::Always, ..Self::on_failure() }
    }

    /// After so many restarts within the [period](Self::within) it is given up.
    #[must_use]
    pub fn at_most(self, restarts: u32) -> Self {
        Self { at_most: restarts, ..self }
    }

    /// The period that [`at_most`](Self::at_most) looks at.
    #[must_use]
    pub fn within(self, period: Duration) -> Self {
        Self { within: period, ..self }
    }

    /// How long it waits at most before it is started again; by default 10 s. A process that dies soon after its start
    /// is started again at once, then after a delay that doubles each time, until it works for two seconds.
    #[must_use]
    pub fn longest_delay(self, delay: Duration) -> Self {
        Self { longest_delay: delay, ..self }
    }

    /// One that is lost before it was ready for the first time ([`Exit::LostBeforeReady`]: killed, say) is started again too.
    /// Otherwise that is the end of it, as whoever starts it is told; now they hear once it is ready, or given up. One whose
    /// start fails, or isn't done in time, isn't started again all the same: it would fail for the same reason.
    #[must_use]
    pub fn from_the_start(self) -> Self {
        Self { from_the_start: true, ..self }
    }

    /// Whether it is started again although it never was ready.
    pub(crate) fn wants_at_start(self, exit: &Exit) -> bool {
        self.from_the_start && matches!(exit, Exit::LostBeforeReady(_))
    }

    /// Whether a process that ended so is started again at all.
    pub(crate) fn wants(self, exit: &Exit) -> bool {
        match self.when {
            When::Never => false,
            When::OnFailure => !exit.is_success(),
            When::Always => true,
        }
    }

    pub(crate) fn is_temporary(self) -> bool {
        self.when == When::Never
    }

    pub(crate) fn longest(self) -> Duration {
        self.longest_delay
    }
}

/// The restarts of one process.
#[derive(Debug, Default)]
pub(crate) struct History {
    recent: Recent,
    pub backoff: Backoff,
}

/// Restarts within a period.
#[derive(Debug, Default)]
pub(crate) struct Recent(Vec<Instant>);

impl Recent {
    /// Counts one more, unless there were so many already.
    pub(crate) fn count(&mut self, now: Instant, at_most: u32, within: Duration) -> bool {
        self.0.retain(|restart| now.duration_since(*restart) < within);
        let fits = self.0.len() < at_most as usize;
        if fits {
            self.0.push(now);
        }
        fits
    }

    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// How soon the next restart comes.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Restarts in a row after which it didn't last.
    unsound: u32,
}

impl Backoff {
    /// After it has worked for so long (`None`: it never did). `chance` is a random number from 0 to 1.
    pub(crate) fn next(&mut self, worked: Option<Duration>, longest: Duration, chance: f64) -> Duration {
        let sound = worked.is_some_and(|worked| worked >= SOUND_AFTER);
        self.unsound = if sound { 0 } else { self.unsound.saturating_add(1) };
        let doubled = FIRST_DELAY.saturating_mul(1 << self.unsound.saturating_sub(1).min(16));
        // Up to a quarter less, so that many that died of one cause don't come back in one instant.
        doubled.min(longest).mul_f64(1.0 - chance / 4.0)
    }
}

/// What follows from a death.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Again { delay: Duration },
    Enough,
    GiveUp,
}

impl History {
    /// Decides on a process that ended `now`, having worked since `ready` (`None`: it never did). `chance` is a random
    /// number from 0 to 1.
    pub(crate) fn judge(
        &mut self,
        policy: Restart,
        exit: &Exit,
        now: Instant,
        ready: Option<Instant>,
        chance: f64,
    ) -> Verdict {
        if !policy.wants(exit) {
            return Verdict::Enough;
        }
        if !self.recent.count(now, policy.at_most, policy.within) {
            return Verdict::GiveUp;
        }
        let worked = ready.map(|ready| now.duration_since(ready));
        Verdict::Again { delay: self.backoff.next(worked, policy.longest_delay, chance) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Exit = Exit::Signal(9);

    fn delay(verdict: Verdict) -> Duration {
        let Verdict::Again { delay } = verdict else { panic!("{verdict:?}") };
        delay
    }

    #[test]
    fn back_off_doubles_to_its_limit_and_ends_with_a_sound_run() {
        let (mut history, start) = (History::default(), Instant::now());
        let policy = Restart::always().at_most(1000);
        let delays: Vec<_> =
            (0..12).map(|_| delay(history.judge(policy, &KILLED, start, Some(start), 0.0)).as_millis()).collect();
        assert_eq!(delays, [20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000, 10_000]);
        let later = start + SOUND_AFTER;
        assert_eq!(delay(history.judge(policy, &KILLED, later, Some(start), 0.0)), FIRST_DELAY);
        assert_eq!(delay(history.judge(policy, &KILLED, later, None, 1.0)), FIRST_DELAY.mul_f64(0.75));
    }

    #[test]
    fn too_many_within_the_period_are_given_up_and_old_ones_forgotten() {
        let (mut history, start) = (History::default(), Instant::now());
        let policy = Restart::on_failure().at_most(2).within(Duration::from_secs(10));
        let mut judge = |seconds| history.judge(policy, &KILLED, start + Duration::from_secs(seconds), None, 0.0);
        delay(judge(0));
        delay(judge(1));
        assert_eq!(judge(2), Verdict::GiveUp);
        delay(judge(11));
    }

    #[test]
    fn the_policy_decides_about_a_good_end() {
        let (mut history, now) = (History::default(), Instant::now());
        let mut judge = |policy| history.judge(policy, &Exit::Code(0), now, Some(now), 0.0);
        assert_eq!(judge(Restart::never()), Verdict::Enough);
        assert_eq!(judge(Restart::on_failure()), Verdict::Enough);
        delay(judge(Restart::always()));
    }
}
