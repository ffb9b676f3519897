use loom::{sync::Arc, thread};

use super::{World, explore, must_deadlock, soon};
use crate::{
    lock::flag,
    sync::{AtomicU32, Ordering},
};

#[test]
fn loom_event_all_go_on_and_see_what_was_done_before() {
    explore(3, || {
        let (world, word) = (World::new(), Arc::new(AtomicU32::new(0)));
        let waiters = [(); 2].map(|()| {
            let (world, word) = (world.clone(), word.clone());
            thread::spawn(move || {
                assert!(flag::wait(&word, None));
                assert_eq!(world.value(), 1);
            })
        });
        world.add(1);
        flag::set(&word);
        let _ = waiters.map(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn loom_event_who_waits_misses_no_short_one() {
    explore(3, || {
        let word = Arc::new(AtomicU32::new(0));
        let began = flag::begin(&word);
        let theirs = word.clone();
        let setter = thread::spawn(move || {
            flag::set(&theirs);
            flag::clear(&theirs);
        });
        while let Err(expected) = flag::attempt(&word, began) {
            crate::futex::wait(&[(&word, expected)], None);
        }
        setter.join().unwrap();
        assert!(!flag::is_set(&word));
    });
}

#[test]
fn loom_event_one_gives_up_and_another_does_not() {
    explore(2, || {
        let word = Arc::new(AtomicU32::new(0));
        let waiters = [soon(), None].map(|until| {
            let word = word.clone();
            thread::spawn(move || flag::wait(&word, until))
        });
        flag::set(&word);
        let [_, patient] = waiters.map(|waiter| waiter.join().unwrap());
        assert!(patient);
    });
}

/// Set without waking, as by one who died between the two, if they were two.
#[test]
fn loom_control_event_without_waking() {
    must_deadlock(module_path!(), "loom_control_event_without_waking", || {
        let word = Arc::new(AtomicU32::new(0));
        let theirs = word.clone();
        let waiter = thread::spawn(move || flag::wait(&theirs, None));
        word.fetch_or(1, Ordering::SeqCst);
        waiter.join().unwrap();
    });
}
