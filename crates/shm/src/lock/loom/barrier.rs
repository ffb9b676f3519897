use loom::{sync::Arc, thread};

use super::{Member, World, explore, explore_deaths, must_deadlock};
use crate::{
    arena::Members,
    lock::{
        mutex,
        rounds::{self, Arrived, Round, Rounds},
    },
    sync::{AtomicU32, AtomicU64, Ordering},
};

struct Twin {
    word: AtomicU32,
    round: AtomicU32,
    broken: AtomicU32,
    failed: AtomicU32,
    arrivals: [AtomicU64; 2],
}

impl Twin {
    fn new() -> Arc<Self> {
        let zero = || AtomicU32::new(0);
        let arrivals = std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Self { word: zero(), round: zero(), broken: zero(), failed: zero(), arrivals })
    }

    fn locked<T>(&self, member: &Member, change: impl FnOnce() -> T) -> T {
        mutex::lock(&self.word, member, None).unwrap();
        let changed = change();
        mutex::unlock(&self.word, member.me(), 1);
        changed
    }

    /// As `Barrier::wait`.
    fn wait(&self, member: &Member) -> Option<usize> {
        let (index, arrived) = self.locked(member, || rounds::arrive(self, member));
        let round = match arrived {
            Arrived::Last => return Some(index),
            Arrived::Broken => return None,
            Arrived::Waits(round) => round,
        };
        loop {
            match rounds::look(self, member, round) {
                Round::Over => return Some(index),
                Round::Broken => return None,
                Round::Lost => {
                    self.locked(member, || rounds::end(self, round, false));
                }
                Round::Filling => {
                    member.wait_a_while(&self.round, round, None);
                }
            }
        }
    }
}

impl Rounds for Twin {
    fn round(&self) -> &AtomicU32 {
        &self.round
    }
    fn broken(&self) -> &AtomicU32 {
        &self.broken
    }
    fn failed(&self, _word: usize) -> &AtomicU32 {
        &self.failed
    }
    fn arrival(&self, index: usize) -> &AtomicU64 {
        &self.arrivals[index]
    }
    fn parties(&self) -> usize {
        2
    }
}

#[test]
fn loom_barrier_both_pass_twice_and_see_what_was_done_before() {
    explore(2, || {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let other = thread::spawn(move || {
            member.world.add(1);
            let first = theirs.wait(&member).unwrap();
            theirs.wait(&member).unwrap();
            first
        });
        let me = Member::new(&world, 0);
        let first = twin.wait(&me).unwrap();
        assert_eq!(world.value(), 1);
        twin.wait(&me).unwrap();
        assert_eq!(first + other.join().unwrap(), 1);
    });
}

/// It dies at each point, also while it waits; then nobody waits for it, unless it died before it came.
#[test]
fn loom_barrier_a_party_may_die_anywhere() {
    explore_deaths(2, 18, |points| {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let other = thread::spawn(move || {
            let survived = member.live(points, || {
                let _ = theirs.wait(&member);
            });
            let signed = theirs.arrivals.iter().any(|a| a.load(Ordering::Acquire) as u32 == member.me().word());
            if !survived && !signed && theirs.round.load(Ordering::Acquire) == 0 {
                // It died on its way there, or as the last one before the round was over: another takes its place.
                theirs.wait(&Member::new(&member.world, 2));
            }
        });
        twin.wait(&Member::new(&world, 0));
        // Whatever came of it, it can be used again.
        let me = Member::new(&world, 0);
        other.join().unwrap();
        twin.locked(&me, || rounds::reset(&*twin));
        assert_eq!(twin.broken.load(Ordering::Relaxed), 0);
    });
}

/// Ended without waking.
#[test]
fn loom_control_barrier_without_waking() {
    must_deadlock(module_path!(), "loom_control_barrier_without_waking", || {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let other = thread::spawn(move || theirs.wait(&member));
        let me = Member::new(&world, 0);
        twin.locked(&me, || twin.round.fetch_add(1, Ordering::SeqCst));
        other.join().unwrap();
    });
}
