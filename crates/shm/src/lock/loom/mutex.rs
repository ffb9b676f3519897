use loom::{sync::Arc, thread};

use super::{Member, World, explore, explore_deaths, must_deadlock, soon};
use crate::{
    arena::{Members, Owner},
    crash::doomed,
    lock::mutex::{self, INCONSISTENT, Taken},
    sync::{AtomicU32, Ordering},
};

fn change(word: &AtomicU32, member: &Member) -> Taken {
    let taken = mutex::lock(word, member, None).unwrap();
    member.world.add(1);
    assert!(mutex::unlock(word, member.me(), 1));
    taken
}

#[test]
fn loom_mutex_three_take_turns() {
    explore(2, || {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let others = [1, 2].map(|slot| {
            let (word, member) = (word.clone(), Member::new(&world, slot));
            thread::spawn(move || change(&word, &member))
        });
        assert_eq!(change(&word, &Member::new(&world, 0)), Taken::Clean);
        let _ = others.map(|other| assert_eq!(other.join().unwrap(), Taken::Clean));
        assert_eq!((world.value(), word.load(Ordering::Relaxed)), (3, 0));
    });
}

#[test]
fn loom_mutex_an_owner_may_die_anywhere() {
    explore_deaths(3, 12, |points| {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let (theirs, member) = (word.clone(), Member::new(&world, 1));
        let other = thread::spawn(move || {
            let survived = doomed::live(points, || {
                let _ = change(&theirs, &member);
            });
            // Nobody takes it from one who isn't known to be dead.
            let held = !survived && Owner::of(theirs.load(Ordering::Relaxed)) == Some(member.me());
            if !survived {
                member.die();
            }
            held
        });
        let me = Member::new(&world, 0);
        let first = change(&word, &me);
        let died_with_it = other.join().unwrap();
        let second = change(&word, &me);
        assert_eq!(second == Taken::Inconsistent, died_with_it, "told if and only if it died with it");
        assert!(first == Taken::Clean || died_with_it);
        assert!(world.value() >= 2);
    });
}

#[test]
fn loom_mutex_of_two_who_wait_one_may_die() {
    explore_deaths(2, 14, |points| {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let me = Member::new(&world, 0);
        mutex::lock(&word, &me, None).unwrap();
        let (theirs, member) = (word.clone(), Member::new(&world, 1));
        let dying = thread::spawn(move || {
            member.live(points, || {
                let _ = change(&theirs, &member);
            })
        });
        let (theirs, member) = (word.clone(), Member::new(&world, 2));
        let living = thread::spawn(move || {
            let _ = change(&theirs, &member);
        });
        mutex::unlock(&word, me.me(), 1);
        dying.join().unwrap();
        living.join().unwrap();
        assert!(world.value() >= 1);
    });
}

#[test]
fn loom_mutex_who_gives_up_is_in_nobodys_way() {
    explore(2, || {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let (theirs, member) = (word.clone(), Member::new(&world, 1));
        let impatient = thread::spawn(move || {
            if mutex::lock(&theirs, &member, soon()).is_some() {
                member.world.add(1);
                mutex::unlock(&theirs, member.me(), 1);
            }
        });
        let (theirs, member) = (word.clone(), Member::new(&world, 2));
        let patient = thread::spawn(move || {
            let _ = change(&theirs, &member);
        });
        change(&word, &Member::new(&world, 0));
        impatient.join().unwrap();
        patient.join().unwrap();
        assert!(world.value() >= 2);
        assert_eq!(word.load(Ordering::Relaxed) & INCONSISTENT, 0);
    });
}

/// Without the wake in unlock a sleeper sleeps on.
#[test]
fn loom_control_mutex_without_waking() {
    must_deadlock(module_path!(), "loom_control_mutex_without_waking", || {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let (theirs, member) = (word.clone(), Member::new(&world, 1));
        let other = thread::spawn(move || {
            let _ = change(&theirs, &member);
        });
        mutex::lock(&word, &Member::new(&world, 0), None).unwrap();
        world.add(1);
        word.store(0, Ordering::Release);
        other.join().unwrap();
    });
}

/// If a waiter that was woken doesn't say that others may still sleep, they do.
#[test]
fn loom_control_mutex_without_remembering_other_sleepers() {
    must_deadlock(module_path!(), "loom_control_mutex_without_remembering_other_sleepers", || {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let forgetful = [1, 2].map(|slot| {
            let (word, member) = (word.clone(), Member::new(&world, slot));
            thread::spawn(move || {
                while let Err(blocked) = mutex::attempt(&word, &member, false) {
                    member.wait_for_owner(&word, blocked.expected, blocked.owner, None);
                }
                mutex::unlock(&word, member.me(), 1);
            })
        });
        change(&word, &Member::new(&world, 0));
        let _ = forgetful.map(|other| other.join().unwrap());
    });
}

/// If nobody hears of a death, they wait for the dead.
#[test]
fn loom_control_mutex_with_deaths_unheard_of() {
    must_deadlock(module_path!(), "loom_control_mutex_with_deaths_unheard_of", || {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let (theirs, member) = (word.clone(), Member::new(&world, 1));
        let other = thread::spawn(move || mutex::lock(&theirs, &member, None).map(drop)); // and is never heard of again
        change(&word, &Member::new(&world, 0));
        other.join().unwrap();
    });
}
