//! What a reader takes of what is published, and the account of what became of the rest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A reader's choice. Readers of one ring may choose differently; only [`Block`](Self::Block) can delay the writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Always the newest; what it passes over is counted as skipped.
    Latest,
    /// All in order, from the oldest of the last `depth` on; what is older is lost to it, and counted as dropped.
    /// A reader that joins begins with what is still there.
    DropOldest {
        /// At most this many behind the newest; the ring's own depth is the upper limit.
        depth: u32,
    },
    /// Every `n`th in order, beginning with the newest there is; those between are counted as skipped, and those that it
    /// was too late for as dropped. It isn't woken for the others.
    Every {
        /// 1 or more.
        n: u32,
    },
    /// The first frame that is published when one is due: on average no more than one a `period`, and never two within
    /// half of it. The others are counted as skipped, and it isn't woken for them. See [`max_rate`](Self::max_rate).
    MaxRate {
        /// The average time between two frames, more than zero.
        period: Duration,
    },
    /// All in order: the writer waits until there is room for the next. A reader that joins begins with what is still
    /// there.
    Block {
        /// How long the writer waits for this reader to take a frame; [`Duration::MAX`] for as long as it lives.
        timeout: Duration,
        /// What happens then.
        late: Late,
    },
}

/// What becomes of a blocking reader that the writer has waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Late {
    /// It loses the oldest frames, counted as dropped. The writer doesn't wait for it again before it has taken one.
    Drop,
    /// Its session ends: it sees [`ReadError::WriterGone`](super::ReadError::WriterGone) after what it still can read.
    Detach,
}

/// What became of all that was published since the reader joined.
///
/// At every instant `published = read + dropped + skipped + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Published since it joined, with those before that it could still read when it joined.
    pub published: u64,
    /// Leased.
    pub read: u64,
    /// Lost because the reader lagged.
    pub dropped: u64,
    /// Passed over because the policy didn't ask for them.
    pub skipped: u64,
    /// Those that it would get now if it read on and nothing more were published. (Of a [`Policy::MaxRate`] reader, the
    /// newest waits until the reader has looked whether one was due.)
    pub waiting: u64,
}

impl Policy {
    /// [`MaxRate`](Self::MaxRate) of so many frames a second.
    ///
    /// # Panics
    ///
    /// If `hz` isn't a number above 1e-9.
    ///
    /// ```
    /// use shm::ring::Policy;
    /// use std::time::Duration;
    /// assert_eq!(Policy::max_rate(5.0), Policy::MaxRate { period: Duration::from_millis(200) });
    /// ```
    #[must_use]
    pub fn max_rate(hz: f64) -> Self {
        assert!(hz > 1e-9, "{hz} frames a second are no rate");
        Self::MaxRate { period: Duration::from_secs_f64(1.0 / hz).max(Duration::from_nanos(1)) }
    }

    /// Says what is wrong with its numbers.
    #[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models do without"))]
    pub(crate) fn check(self) -> Result<(), String> {
        match self {
            Self::DropOldest { depth: 0 } => Err("it wishes to be 0 frames behind at most; 1 is the least".to_owned()),
            Self::Every { n: 0 } => Err("it wishes for every 0th frame; 1 is the least".to_owned()),
            Self::MaxRate { period } if period.is_zero() => {
                Err("it wishes for frames at no distance in time; 1 ns is the least".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Where a reader that joins now begins: the sequence before its first.
    pub(crate) fn join(self, head: u64, ring_depth: u32) -> u64 {
        match self {
            // One less than there are: the writer may have reserved its next slot before this reader came.
            Self::Block { .. } => head.saturating_sub(u64::from(ring_depth.saturating_sub(1))),
            Self::Every { .. } => head.saturating_sub(1),
            _ => head.saturating_sub(self.reach(ring_depth)),
        }
    }

    /// How many of the newest it may still take.
    fn reach(self, ring_depth: u32) -> u64 {
        let ring_depth = ring_depth.max(1);
        u64::from(match self {
            Self::Latest | Self::MaxRate { .. } => 1,
            Self::DropOldest { depth } => depth.clamp(1, ring_depth),
            Self::Every { .. } | Self::Block { .. } => ring_depth,
        })
    }
}

/// How far a reader is: its own account, which it shows the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The sequence before its first.
    pub first: u64,
    /// The last sequence that was taken or passed over.
    pub cursor: u64,
    pub read: u64,
    pub dropped: u64,
}

impl Progress {
    pub(crate) fn begin(policy: Policy, head: u64, ring_depth: u32) -> Self {
        let first = policy.join(head, ring_depth);
        Self { first, cursor: first, read: 0, dropped: 0 }
    }

    /// The sequence to take next; `None` if nothing is.
    pub(crate) fn next(&self, policy: Policy, head: u64, ring_depth: u32) -> Option<u64> {
        let due = self.due(policy, head, ring_depth);
        (due <= head && head > self.cursor).then_some(due)
    }

    /// The first sequence of interest when `head` is the newest, there or not: before it is there, nobody needs to be woken.
    pub(crate) fn due(&self, policy: Policy, head: u64, ring_depth: u32) -> u64 {
        let oldest = head.saturating_add(1).saturating_sub(policy.reach(ring_depth)).max(self.cursor.saturating_add(1));
        match policy {
            Policy::Every { n } => self.grid_from(n, oldest),
            _ => oldest,
        }
    }

    /// Counts the step to the sequence that was leased.
    pub(crate) fn take(&mut self, policy: Policy, taken: u64) {
        self.dropped += match policy {
            Policy::Latest | Policy::MaxRate { .. } => 0,
            Policy::DropOldest { .. } | Policy::Block { .. } => taken - self.cursor - 1,
            Policy::Every { n } => self.grid_points(n, self.cursor, taken - 1),
        };
        self.read += 1;
        self.cursor = taken;
    }

    /// Counts all up to `sequence` as skipped.
    #[cfg_attr(all(test, feature = "loom"), expect(dead_code, reason = "the models do without"))]
    pub(crate) fn pass(&mut self, sequence: u64) {
        self.cursor = sequence;
    }

    /// The account when `head` is the newest. Sound for any numbers: the writer has them from the reader.
    pub(crate) fn counts(&self, policy: Policy, head: u64, ring_depth: u32) -> Counts {
        let head = head.max(self.first);
        let cursor = self.cursor.clamp(self.first, head);
        let reachable = cursor.max(head.saturating_sub(policy.reach(ring_depth)));
        let (waiting, lost) = match policy {
            Policy::Latest | Policy::MaxRate { .. } => (head - reachable, 0),
            Policy::DropOldest { .. } | Policy::Block { .. } => (head - reachable, reachable - cursor),
            Policy::Every { n } => (self.grid_points(n, reachable, head), self.grid_points(n, cursor, reachable)),
        };
        let (published, dropped) = (head - self.first, self.dropped.saturating_add(lost));
        let skipped = published.saturating_sub(self.read).saturating_sub(dropped).saturating_sub(waiting);
        Counts { published, read: self.read, dropped, skipped, waiting }
    }

    /// The first of every `n`th sequences from the reader's first on that is `sequence` or later.
    fn grid_from(&self, n: u32, sequence: u64) -> u64 {
        let (start, n) = (self.first.saturating_add(1), u64::from(n.max(1)));
        start.saturating_add(sequence.saturating_sub(start).div_ceil(n).saturating_mul(n))
    }

    /// How many of every `n`th sequences lie after `after`, up to and with `up_to`.
    fn grid_points(&self, n: u32, after: u64, up_to: u64) -> u64 {
        let up_to_here = |sequence: u64| sequence.saturating_sub(self.first).div_ceil(u64::from(n.max(1)));
        up_to_here(up_to).saturating_sub(up_to_here(after))
    }
}

/// When a [`Policy::MaxRate`] reader wants its next frame, after one that was published at `published_ns` when one was
/// due from `due_ns` on.
///
/// The schedule goes on from where it was, so that frames that come a little late don't lower the rate; after a pause it
/// begins anew, so that there is no burst.
pub(crate) fn next_due_ns(period: Duration, due_ns: u64, published_ns: u64) -> u64 {
    let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    let on_schedule = due_ns.saturating_add(period_ns);
    if on_schedule < published_ns {
        published_ns.saturating_add(period_ns)
    } else {
        on_schedule.max(published_ns.saturating_add(period_ns / 2))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(cursor: u64) -> Progress {
        Progress { cursor, ..Progress::default() }
    }

    #[test]
    fn latest_takes_the_head_and_drop_oldest_the_next_that_is_left() {
        assert_eq!(at(3).next(Policy::Latest, 9, 4), Some(9));
        assert_eq!(at(9).next(Policy::Latest, 9, 4), None);
        let policy = Policy::DropOldest { depth: 3 };
        assert_eq!(at(8).next(policy, 9, 4), Some(9));
        assert_eq!(at(2).next(policy, 9, 4), Some(7));
        assert_eq!(policy.join(9, 4), 6);
        assert_eq!(at(0).next(Policy::DropOldest { depth: 100 }, 9, 4), Some(6), "no deeper than the ring");
        assert_eq!(Policy::Latest.join(0, 4), 0);
    }

    #[test]
    fn every_third_keeps_its_step_also_when_it_lags() {
        let policy = Policy::Every { n: 3 };
        let mut progress = Progress::begin(policy, 10, 4);
        assert_eq!(progress.next(policy, 10, 4), Some(10), "it begins with the newest");
        progress.take(policy, 10);
        assert_eq!((progress.next(policy, 12, 4), progress.due(policy, 12, 4)), (None, 13));
        assert_eq!(progress.next(policy, 13, 4), Some(13));
        assert_eq!(progress.next(policy, 20, 4), Some(19), "13 and 16 are gone");
        let hundredth = Policy::Every { n: 100 };
        assert_eq!((at(1).next(hundredth, 150, 4), at(1).due(hundredth, 150, 4)), (None, 201), "101 is gone");
        let lagging = Counts { published: 11, read: 1, dropped: 2, skipped: 7, waiting: 1 };
        assert_eq!(progress.counts(policy, 20, 4), lagging);
        progress.take(policy, 19);
        let caught_up = Counts { published: 11, read: 2, dropped: 2, skipped: 7, waiting: 0 };
        assert_eq!(progress.counts(policy, 20, 4), caught_up);
    }

    #[test]
    fn a_rate_keeps_its_average_in_spite_of_jitter_and_makes_no_burst_after_a_pause() {
        let period = Duration::from_nanos(100);
        assert_eq!(next_due_ns(period, 0, 5000), 5100, "the first, or after a pause");
        assert_eq!(next_due_ns(period, 5100, 5130), 5200, "a little late");
        assert_eq!(next_due_ns(period, 5100, 5190), 5240, "very late: but not two at once");
        // 30 frames a second, of which 10 are wanted, each up to 3 ms early or late.
        let (mut due, mut taken) = (0, 0);
        for frame in 0..3000u64 {
            let published = 10_000_000_000 + frame * 33_333_333 + (frame * 7 % 7) * 1_000_000 - 3_000_000;
            if published >= due {
                taken += 1;
                due = next_due_ns(Duration::from_millis(100), due, published);
            }
        }
        assert!((990..=1001).contains(&taken), "{taken}");
    }

    fn policies() -> impl Strategy<Value = Policy> {
        prop_oneof![
            Just(Policy::Latest),
            (1u32..8).prop_map(|depth| Policy::DropOldest { depth }),
            (1u32..30).prop_map(|n| Policy::Every { n }),
            Just(Policy::Block { timeout: Duration::ZERO, late: Late::Drop }),
        ]
    }

    proptest! {
        /// Whatever the writer publishes between two reads, nothing is unaccounted for, and order is kept; and what is
        /// said to wait is what then is read.
        #[test]
        fn everything_published_is_read_dropped_skipped_or_waiting(
            bursts in proptest::collection::vec(0u64..20, 1..50), policy in policies(), ring_depth in 1u32..8, before in 0u64..20,
        ) {
            let mut head = before;
            let mut progress = Progress::begin(policy, head, ring_depth);
            for burst in bursts {
                head += burst;
                let counts = progress.counts(policy, head, ring_depth);
                prop_assert_eq!(counts.published, counts.read + counts.dropped + counts.skipped + counts.waiting);
                let next = progress.next(policy, head, ring_depth);
                prop_assert_eq!(next.is_some(), counts.waiting > 0);
                prop_assert!(next.is_some() || progress.due(policy, head, ring_depth) > head, "it would never sleep");
                if let Some(taken) = next {
                    prop_assert!(taken > progress.cursor && taken <= head && head - taken < u64::from(ring_depth));
                    progress.take(policy, taken);
                    let after = progress.counts(policy, head, ring_depth);
                    prop_assert_eq!((after.read, after.waiting), (counts.read + 1, counts.waiting - 1));
                    prop_assert_eq!((after.dropped, after.skipped), (counts.dropped, counts.skipped));
                }
            }
        }

        /// The writer computes with numbers that a reader wrote.
        #[test]
        fn no_number_is_too_strange(
            policy in policies(), first: u64, cursor: u64, read: u64, dropped: u64, head: u64, ring_depth: u32,
        ) {
            let progress = Progress { first, cursor, read, dropped };
            progress.counts(policy, head, ring_depth);
            progress.next(policy, head, ring_depth);
            progress.due(policy, head, ring_depth);
        }
    }
}
