use loom::{sync::Arc, thread};

use super::{Member, World, explore, explore_deaths, must_deadlock};
use crate::{
    arena::Members,
    futex::Outcome,
    lock::{
        mutex::{self, INCONSISTENT, Taken},
        waiters::{self, Seen, Waiters},
    },
    sync::{AtomicU32, AtomicU64, Ordering},
};

struct Twin {
    word: AtomicU32,
    owners: [AtomicU32; 2],
    states: [AtomicU32; 2],
    tickets: [AtomicU64; 2],
    last: AtomicU64,
    /// What is waited for, under the lock. Atomic, because a dead one's store of it may be seen.
    ready: AtomicU32,
}

impl Twin {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU32::new(0),
            owners: std::array::from_fn(|_| AtomicU32::new(0)),
            states: std::array::from_fn(|_| AtomicU32::new(0)),
            tickets: std::array::from_fn(|_| AtomicU64::new(0)),
            last: AtomicU64::new(0),
            ready: AtomicU32::new(0),
        })
    }

    /// Who hears of a death notifies all, and then it is over.
    fn lock(&self, member: &Member) {
        if mutex::lock(&self.word, member, None).unwrap() == Taken::Inconsistent {
            waiters::notify(self, member, 2);
            self.word.fetch_and(!INCONSISTENT, Ordering::Relaxed);
        }
    }

    fn unlock(&self, member: &Member) {
        assert!(mutex::unlock(&self.word, member.me(), 1));
    }

    /// As `Condition::wait`, with the lock held.
    fn wait(&self, member: &Member) {
        let index = waiters::enlist(self, member).unwrap();
        self.unlock(member);
        loop {
            match waiters::look(self, member, &self.word, index) {
                Seen::Notified | Seen::Orphaned => break,
                Seen::Lost => {
                    self.lock(member);
                    waiters::sweep(self, member);
                    self.unlock(member);
                }
                Seen::Waiting(state) => {
                    assert_eq!(member.wait_a_while(self.state(index), state, None), Outcome::Woken);
                }
            }
        }
        self.lock(member);
        waiters::delist(self, index);
    }

    fn wait_until_ready(&self, member: &Member) {
        self.lock(member);
        while self.ready.load(Ordering::Relaxed) == 0 {
            self.wait(member);
        }
        waiters::notify(self, member, 1); // one was notified, and hands it on
        self.unlock(member);
    }

    fn make_ready(&self, member: &Member) {
        self.lock(member);
        self.ready.store(1, Ordering::Relaxed);
        waiters::notify(self, member, 1);
        self.unlock(member);
    }
}

impl Waiters for Twin {
    fn count(&self) -> usize {
        2
    }
    fn owner(&self, index: usize) -> &AtomicU32 {
        &self.owners[index]
    }
    fn state(&self, index: usize) -> &AtomicU32 {
        &self.states[index]
    }
    fn ticket(&self, index: usize) -> &AtomicU64 {
        &self.tickets[index]
    }
    fn last(&self) -> &AtomicU64 {
        &self.last
    }
}

#[test]
fn loom_condition_who_waits_is_notified() {
    explore(3, || {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let waiter = thread::spawn(move || theirs.wait_until_ready(&member));
        twin.make_ready(&Member::new(&world, 0));
        waiter.join().unwrap();
    });
}

/// One of two waiters dies at each point; when it doesn't, it hands on what it got.
#[test]
fn loom_condition_a_notification_outlives_its_receiver() {
    explore_deaths(2, 30, |points| {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let dying = thread::spawn(move || member.live(points, || theirs.wait_until_ready(&member)));
        let (theirs, member) = (twin.clone(), Member::new(&world, 2));
        let living = thread::spawn(move || theirs.wait_until_ready(&member));
        twin.make_ready(&Member::new(&world, 0));
        if !dying.join().unwrap() {
            world.slices_end();
        }
        living.join().unwrap();
    });
}

#[test]
fn loom_condition_a_notifier_may_die_anywhere() {
    explore_deaths(2, 14, |points| {
        let (world, twin) = (World::new(), Twin::new());
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let waiter = thread::spawn(move || theirs.wait_until_ready(&member));
        let me = Member::new(&world, 0);
        if !me.live(points, || twin.make_ready(&me)) {
            twin.make_ready(&Member::new(&world, 2)); // a successor
        }
        waiter.join().unwrap();
    });
}

/// What is notified without a look at the dead is lost with them.
#[test]
fn loom_control_condition_without_passing_on() {
    must_deadlock(module_path!(), "loom_control_condition_without_passing_on", || {
        let (world, twin) = (World::new(), Twin::new());
        let dead = Member::new(&world, 1);
        twin.lock(&dead);
        waiters::enlist(&*twin, &dead).unwrap();
        twin.unlock(&dead);
        let (theirs, member) = (twin.clone(), Member::new(&world, 2));
        let living = thread::spawn(move || {
            theirs.lock(&member);
            if theirs.ready.load(Ordering::Relaxed) == 0 {
                let index = waiters::enlist(&*theirs, &member).unwrap();
                theirs.unlock(&member);
                while waiters::look(&*theirs, &member, &theirs.word, index) != Seen::Notified {
                    crate::futex::wait(&[(theirs.state(index), 1)], None); // never minds who died
                }
                theirs.lock(&member);
            }
            theirs.unlock(&member);
        });
        twin.make_ready(&Member::new(&world, 0));
        dead.die();
        living.join().unwrap();
    });
}
