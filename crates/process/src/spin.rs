//! Looking for a while before one sleeps (adaptive spinning): who asks a process time and again, and the process that is asked,
//! needn't be woken each time. To wake one that sleeps on another processor takes 20 to 50 µs; a look takes a third of one.

use std::{
    hint,
    time::{Duration, Instant},
};

/// As long as it takes to be woken: whoever looks in vain has lost as much as it could have gained.
const SPIN_FOR: Duration = Duration::from_micros(50);

/// After so many in a row that were in vain, it isn't tried more seldom any more.
const SELDOM: u32 = 10;

/// How one who waits has fared with looking.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spin {
    /// It paid the last time.
    pays: bool,
    /// How often in a row it was in vain.
    failed: u32,
    /// How often it isn't tried now.
    skips: u32,
}

impl Spin {
    /// Whether it paid the last time.
    pub(crate) fn pays(&self) -> bool {
        self.pays
    }

    /// Looks by `look` until that finds something, for 50 µs at most, and not beyond `end`. After `n` tries in a row that
    /// were in vain the next 2ⁿ - 1 waits aren't worth one, 1,023 at most: what mostly takes long costs a thousandth of that.
    ///
    /// It doesn't yield between two looks: on a processor that others want too, that is as good as to give it away for a
    /// time slice of theirs, which is milliseconds. If whoever is waited for needs this very processor, it is in vain.
    pub(crate) fn until<T>(&mut self, end: Option<Instant>, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if self.skips > 0 {
            self.skips -= 1;
            return None;
        }
        // What is there already says nothing of whether it pays to look on.
        if let found @ Some(_) = look() {
            return found;
        }
        let limit = Instant::now() + SPIN_FOR;
        loop {
            let (found, now) = (look(), Instant::now());
            if found.is_some() || now >= limit {
                self.learn(now < limit);
                return found;
            }
            if end.is_some_and(|end| now >= end) {
                return None; // it might have paid
            }
            hint::spin_loop();
        }
    }

    fn learn(&mut self, pays: bool) {
        self.pays = pays;
        self.failed = if pays { 0 } else { SELDOM.min(self.failed + 1) };
        self.skips = (1 << self.failed) - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_until_it_finds() {
        // It may be kept from the processor for all of the time that it has.
        let found = (0..1000).find_map(|_| {
            let mut looks = 0;
            Spin::default().until(None, || {
                looks += 1;
                (looks == 3).then_some(looks)
            })
        });
        assert_eq!(found, Some(3));
    }

    #[test]
    fn it_ends_at_the_limit_of_whoever_waits() {
        let (mut spin, mut looks) = (Spin::default(), 0);
        let found = spin.until(Some(Instant::now()), || {
            looks += 1;
            None::<()>
        });
        assert_eq!((found, looks), (None, 2));
    }

    #[test]
    fn in_vain_it_is_tried_more_and_more_seldom_and_then_again() {
        let (mut spin, mut tries) = (Spin::default(), Vec::new());
        for wait in 0..8192 {
            let mut looked = false;
            spin.until(None, || {
                looked = true;
                None::<()>
            });
            tries.extend(looked.then_some(wait));
        }
        assert_eq!(tries[..6], [0, 2, 6, 14, 30, 62]);
        assert!(tries.windows(2).all(|pair| pair[1] - pair[0] <= 1024), "{tries:?}");
        assert!(!spin.pays());
        // What is there at once changes nothing.
        while spin.until(None, || Some(())).is_none() {}
        assert!(spin.until(None, || Some(())).is_some() && !spin.pays());
        // It pays again, if nobody else has the processor just then.
        while !spin.pays() {
            let mut looks = 0;
            spin.until(None, || {
                looks += 1;
                (looks == 2).then_some(())
            });
        }
        assert!(spin.until(None, || Some(())).is_some() && spin.pays());
    }
}
