//! What a reader takes when it can't take everything.

use serde::{Deserialize, Serialize};

/// A reader's choice. Readers of one ring may choose differently; none of them delays the writer.
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
}

/// What became of all that was published since the reader joined: `published = read + dropped + skipped`, where
/// published counts up to the reader's cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Leased.
    pub read: u64,
    /// Lost because the reader lagged.
    pub dropped: u64,
    /// Passed over because the reader asked for the newest only.
    pub skipped: u64,
}

impl Policy {
    /// Where a reader that joins now begins: the sequence before its first.
    pub(crate) fn join(self, head: u64, ring_depth: u32) -> u64 {
        head.saturating_sub(self.reach(ring_depth))
    }

    /// The sequence to take next, given the last one taken; `None` if nothing is new.
    pub(crate) fn next(self, cursor: u64, head: u64, ring_depth: u32) -> Option<u64> {
        let oldest = head.saturating_add(1).saturating_sub(self.reach(ring_depth));
        (head > cursor).then(|| oldest.max(cursor + 1))
    }

    /// How many of the newest it may still take.
    fn reach(self, ring_depth: u32) -> u64 {
        match self {
            Self::Latest => 1,
            Self::DropOldest { depth } => u64::from(depth.clamp(1, ring_depth.max(1))),
        }
    }
}

impl Counts {
    /// Counts the step from `cursor` to the sequence that was leased.
    pub(crate) fn step(&mut self, policy: Policy, cursor: u64, taken: u64) {
        let passed_over = taken - cursor - 1;
        match policy {
            Policy::Latest => self.skipped += passed_over,
            Policy::DropOldest { .. } => self.dropped += passed_over,
        }
        self.read += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn latest_takes_the_head_and_drop_oldest_the_next_that_is_left() {
        assert_eq!(Policy::Latest.next(3, 9, 4), Some(9));
        assert_eq!(Policy::Latest.next(9, 9, 4), None);
        let policy = Policy::DropOldest { depth: 3 };
        assert_eq!(policy.next(8, 9, 4), Some(9));
        assert_eq!(policy.next(2, 9, 4), Some(7));
        assert_eq!(policy.join(9, 4), 6);
        assert_eq!(Policy::DropOldest { depth: 100 }.next(0, 9, 4), Some(6), "no deeper than the ring");
        assert_eq!(Policy::Latest.join(0, 4), 0);
    }

    proptest! {
        /// Whatever the writer publishes between two reads, nothing is unaccounted for, and order is kept.
        #[test]
        fn everything_published_is_read_dropped_or_skipped(
            bursts in proptest::collection::vec(0u64..20, 1..50), depth in 1u32..8, ring_depth in 1u32..8, latest: bool,
        ) {
            let policy = if latest { Policy::Latest } else { Policy::DropOldest { depth } };
            let (mut head, mut cursor, mut counts) = (0, 0, Counts::default());
            for burst in bursts {
                head += burst;
                if let Some(taken) = policy.next(cursor, head, ring_depth) {
                    prop_assert!(taken > cursor && taken <= head && head - taken < u64::from(ring_depth));
                    counts.step(policy, cursor, taken);
                    cursor = taken;
                }
                prop_assert_eq!(cursor, counts.read + counts.dropped + counts.skipped);
            }
        }
    }
}
