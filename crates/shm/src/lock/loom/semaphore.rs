use loom::{sync::Arc, thread};

use super::{Member, World, explore, explore_deaths, must_deadlock};
use crate::{
    arena::Members,
    lock::permits::{self, ABSENT, Permits},
    sync::{AtomicU32, Ordering},
};

struct Twin {
    permits: Vec<AtomicU32>,
    gate: AtomicU32,
}

impl Twin {
    fn new(available: usize, most: usize) -> Arc<Self> {
        let permits = (0..most).map(|index| AtomicU32::new(if index < available { 0 } else { ABSENT })).collect();
        Arc::new(Self { permits, gate: AtomicU32::new(0) })
    }
}

impl Permits for Twin {
    fn permits(&self) -> impl Iterator<Item = &AtomicU32> {
        self.permits.iter()
    }
    fn gate(&self) -> &AtomicU32 {
        &self.gate
    }
}

#[test]
fn loom_semaphore_each_release_lets_one_go_on() {
    explore(2, || {
        let (world, twin) = (World::new(), Twin::new(0, 2));
        let waiters = [1, 2].map(|slot| {
            let (twin, member) = (twin.clone(), Member::new(&world, slot));
            thread::spawn(move || permits::acquire(&*twin, &member, None).unwrap())
        });
        let me = Member::new(&world, 0);
        // With none held by others yet, or one: either way there is one more each time.
        assert!(permits::release(&*twin, &me));
        let first = twin.permits.iter().filter(|permit| permit.load(Ordering::Relaxed) != ABSENT).count();
        assert!(first >= 1);
        let _ = permits::release(&*twin, &me);
        // A release may have freed what a waiter had just got; it doesn't come back for more, so one more is enough.
        let _ = waiters.map(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn loom_semaphore_one_permit_is_had_by_one() {
    explore(2, || {
        let (world, twin) = (World::new(), Twin::new(1, 1));
        let work = |twin: &Twin, member: &Member| {
            let index = permits::acquire(twin, member, None).unwrap();
            member.world.add(1);
            permits::release_one(twin, &twin.permits[index], member.me());
        };
        let others = [1, 2].map(|slot| {
            let (twin, member) = (twin.clone(), Member::new(&world, slot));
            thread::spawn(move || work(&twin, &member))
        });
        work(&twin, &Member::new(&world, 0));
        let _ = others.map(|other| other.join().unwrap());
        assert_eq!(world.value(), 3);
    });
}

#[test]
fn loom_semaphore_a_holder_may_die_anywhere() {
    explore_deaths(3, 30, |points| {
        let (world, twin) = (World::new(), Twin::new(1, 1));
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let dying = thread::spawn(move || {
            member.live(points, || {
                let index = permits::acquire(&*theirs, &member, None).unwrap();
                permits::release_one(&*theirs, &theirs.permits[index], member.me());
            })
        });
        permits::acquire(&*twin, &Member::new(&world, 0), None).unwrap();
        permits::release_one(&*twin, &twin.permits[0], Member::new(&world, 0).me());
        dying.join().unwrap();
        permits::acquire(&*twin, &Member::new(&world, 0), None).unwrap();
    });
}

#[test]
fn loom_semaphore_a_woken_one_may_die() {
    explore_deaths(2, 30, |points| {
        let (world, twin) = (World::new(), Twin::new(1, 1));
        let me = Member::new(&world, 0);
        assert_eq!(permits::try_acquire(&*twin, &me), Some(0));
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let dying = thread::spawn(move || {
            member.live(points, || {
                permits::acquire(&*theirs, &member, None).unwrap();
                crate::crash::point();
                permits::release_one(&*theirs, &theirs.permits[0], member.me());
            })
        });
        let (theirs, member) = (twin.clone(), Member::new(&world, 2));
        let living = thread::spawn(move || {
            permits::acquire(&*theirs, &member, None).unwrap();
            permits::release_one(&*theirs, &theirs.permits[0], member.me());
        });
        permits::release_one(&*twin, &twin.permits[0], me.me());
        dying.join().unwrap();
        living.join().unwrap();
    });
}

/// Without the look at the gate nobody is told of a free permit.
#[test]
fn loom_control_semaphore_without_signalling() {
    must_deadlock(module_path!(), "loom_control_semaphore_without_signalling", || {
        let (world, twin) = (World::new(), Twin::new(0, 1));
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let waiter = thread::spawn(move || permits::acquire(&*theirs, &member, None).unwrap());
        twin.permits[0].store(0, Ordering::SeqCst);
        waiter.join().unwrap();
    });
}

/// Who sleeps without having looked again after marking the gate, sleeps over what came before.
#[test]
fn loom_control_semaphore_without_looking_again() {
    must_deadlock(module_path!(), "loom_control_semaphore_without_looking_again", || {
        let (world, twin) = (World::new(), Twin::new(0, 1));
        let (theirs, member) = (twin.clone(), Member::new(&world, 1));
        let waiter = thread::spawn(move || {
            while permits::try_acquire(&*theirs, &member).is_none() {
                let expected = theirs.gate.fetch_or(1, Ordering::SeqCst) | 1;
                member.wait_a_while(&theirs.gate, expected, None);
            }
        });
        permits::release(&*twin, &Member::new(&world, 0));
        waiter.join().unwrap();
    });
}
