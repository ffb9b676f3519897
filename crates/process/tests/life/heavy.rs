//! What takes long; run with `--ignored`.

use std::time::{Duration, Instant};

use process::System;

use super::{
    LIMIT, Test,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] =
    &[("a_thousand_processes", a_thousand), ("a_tree_of_a_thousand_is_stopped_in_order", a_tree_of_a_thousand)];

/// Start all, call all, terminate all: no zombie, and descriptors are back to where they were.
fn a_thousand(system: &System) {
    many(system, 1000);
}

/// Ten groups of a hundred, each in ten levels: all gone within two seconds.
fn a_tree_of_a_thousand(system: &System) {
    let took = super::groups::stop_a_tree(system, 10, 10, 10);
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

pub fn many(system: &System, count: usize) {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = descriptors();
    let begin = Instant::now();
    let start = |index| system.spawn::<Subject>(Config::default()).name(format!("m{index}")).begin().unwrap();
    let starting: Vec<_> = (0..count).map(start).collect();
    let subjects: Vec<SubjectHandle> = starting.into_iter().map(|starting| starting.wait().unwrap()).collect();
    let ready = begin.elapsed();
    assert!(subjects.iter().all(|subject| subject.add(1).wait().unwrap() == 1));
    let theirs: Vec<usize> = subjects.iter().map(|subject| subject.descriptors().wait().unwrap()).collect();
    assert!(theirs.iter().all(|count| *count == theirs[0]), "a child inherited something: {theirs:?}");
    let begin = Instant::now();
    subjects.iter().for_each(|subject| subject.terminate());
    for subject in &subjects {
        assert_eq!(subject.join_for(LIMIT).unwrap().number(), Some(-15));
    }
    println!("     ({count} ready within {ready:.1?}, terminated within {:.1?})", begin.elapsed());
    drop(subjects);
    wait_until("nothing is left", || descriptors() <= before && zombies() == 0);
}

/// Our children that have ended and wait for somebody to take their status.
fn zombies() -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let ours = |stat: &String| {
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse().ok()));
        state == Some("Z") && parent == Some(std::process::id())
    };
    stats.filter(ours).count()
}
