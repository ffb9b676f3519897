//! Who is to be woken at the next change: futures, each of which may be dropped at any time and leaves nothing behind then.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::Waker,
};

use crate::connection::lock;

/// Wakers, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The number of the latest place. None is given twice.
    latest: u64,
    waiting: BTreeMap<u64, Waker>,
}

/// A future's own place among some [`Wakers`], until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Place(Option<(Arc<Wakers>, u64)>);

impl Wakers {
    /// Wakes all, each once. They may call back right here, so no lock may be held.
    pub(crate) fn wake_all(&self) {
        let waiting = std::mem::take(&mut lock(&self.0).waiting);
        waiting.into_values().for_each(Waker::wake);
    }

    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        lock(&self.0).waiting.len()
    }
}

impl Place {
    /// `waker` is woken at the next change, in place of the one that had this place. What it waits for is to be looked at
    /// after this: only a change that comes from now on wakes it.
    pub(crate) fn take(&mut self, wakers: &Arc<Wakers>, waker: &Waker) {
        if self.0.as_ref().is_some_and(|(others, _)| !Arc::ptr_eq(others, wakers)) {
            self.leave();
        }
        let mut inner = lock(&wakers.0);
        let former = self.0.as_ref().and_then(|(_, number)| Some((*number, inner.waiting.get(number)?)));
        let number = match former {
            Some((_, former)) if former.will_wake(waker) => return,
            Some((number, _)) => number,
            None => {
                inner.latest += 1;
                inner.latest
            }
        };
        let former = inner.waiting.insert(number, waker.clone());
        // The lock first: what goes with a waker may have places of its own here.
        drop(inner);
        drop(former);
        self.0 = Some((wakers.clone(), number));
    }

    /// It isn't to be woken any more.
    pub(crate) fn leave(&mut self) {
        let Some((wakers, number)) = self.0.take() else { return };
        let former = lock(&wakers.0).waiting.remove(&number);
        drop(former); // without the lock, as above
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Counts(AtomicU64);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that waits among the same wakers itself.
    struct Task {
        _place: Mutex<Place>,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn each_is_woken_once_and_has_one_place() {
        let (wakers, counts) = (Arc::new(Wakers::default()), Arc::new(Counts::default()));
        let waker = Waker::from(counts.clone());
        let (mut one, mut other) = (Place::default(), Place::default());
        for _ in 0..3 {
            one.take(&wakers, &waker);
            other.take(&wakers, &waker);
        }
        assert_eq!(wakers.count(), 2);
        wakers.wake_all();
        wakers.wake_all();
        assert_eq!(counts.0.load(Ordering::Relaxed), 2);
        one.take(&wakers, &waker);
        let others = Arc::new(Wakers::default());
        one.take(&others, &waker);
        assert_eq!((wakers.count(), others.count()), (0, 1), "it waits in one place");
    }

    #[test]
    fn who_is_dropped_leaves_nothing_behind() {
        let (wakers, counts) = (Arc::new(Wakers::default()), Arc::new(Counts::default()));
        for _ in 0..100 {
            Place::default().take(&wakers, &Waker::from(counts.clone()));
        }
        assert_eq!((wakers.count(), Arc::strong_count(&counts)), (0, 1));
    }

    #[test]
    fn a_waker_may_hold_places_of_its_own() {
        let wakers = Arc::new(Wakers::default());
        let task = || {
            let mut place = Place::default();
            place.take(&wakers, Waker::noop());
            Waker::from(Arc::new(Task { _place: Mutex::new(place) }))
        };
        let mut place = Place::default();
        for _ in 0..2 {
            place.take(&wakers, &task()); // drops the one before
        }
        place.leave();
        assert_eq!(wakers.count(), 0);
    }
}
