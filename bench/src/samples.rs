//! Times, and what is said of many of them.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Now, in nanoseconds; the same clock in both processes.
#[must_use]
pub fn now_ns() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// What was measured, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<i64>);

/// The middle and the tail: a mean would be the scheduler's worst moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Half are below.
    pub median_ns: i64,
    /// One of a hundred is above.
    pub p99_ns: i64,
    /// One of a thousand is above.
    pub p999_ns: i64,
    /// How many there are.
    pub count: usize,
}

impl Samples {
    /// One more.
    pub fn add(&mut self, nanoseconds: i64) {
        self.0.push(nanoseconds);
    }

    /// What is said of all so far; zeros, if there are none.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |part: usize, of: usize| sorted.get(sorted.len() * part / of).copied().unwrap_or_default();
        Summary { median_ns: at(1, 2), p99_ns: at(99, 100), p999_ns: at(999, 1000), count: sorted.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_tail() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|sample| samples.add(sample));
        assert_eq!(samples.summary(), Summary { median_ns: 51, p99_ns: 100, p999_ns: 100, count: 100 });
        assert_eq!(Samples::default().summary().median_ns, 0);
    }
}
