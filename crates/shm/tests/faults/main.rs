//! Each system call of a ring's life fails in turn: an error that names it, no leak, no panic, and nobody sleeps for ever.
//!
//! The life (`life.rs`) runs in this test program, started again. `strace` attaches to it at its beginning, and has the nth call
//! of one kind fail. At the end the process itself looks whether every descriptor and every mapping is gone.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod life;
mod plan;
mod traced;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use plan::{FAULTS, Fault, Seen};
use traced::Ended;

#[test]
fn a_life_without_faults_leaves_nothing() {
    let ended = traced::untraced("");
    assert_eq!((ended.code, ended.told.as_str()), (Some(0), "all of it"), "{ended:?}");
}

/// The control: a life that leaks is found out.
#[test]
fn a_descriptor_and_a_mapping_that_are_left_are_seen() {
    for (leak, seen) in [("descriptor", "eventfd"), ("mapping", "memfd:framewire")] {
        let ended = traced::untraced(leak);
        assert_eq!(ended.code, Some(life::LEAK), "{ended:?}");
        assert!(ended.told.contains(seen), "{ended:?}");
    }
}

#[test]
#[ignore = "needs strace"]
fn every_call_fails_in_turn() {
    let counted = count();
    let jobs: Vec<(&Fault, usize)> = FAULTS
        .iter()
        .flat_map(|fault| (1..=counted[fault.call]).step_by(step(fault)).map(move |nth| (fault, nth)))
        .collect();
    let (next, wrong, injected) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from).min(4) {
            scope.spawn(|| {
                while let Some((fault, nth)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ended = traced::with(&format!("{}:error={}:when={nth}", fault.call, fault.errno));
                    injected.fetch_add(usize::from(ended.was_hit()), Ordering::Relaxed);
                    if let Err(why) = judge(fault, &ended) {
                        wrong.lock().unwrap().push(format!("{} {nth} with {}: {why}", fault.call, fault.errno));
                    }
                }
            });
        }
    });
    let (wrong, injected) = (wrong.into_inner().unwrap(), injected.into_inner());
    println!("{} lives, {injected} of them with a fault; calls: {counted:?}", jobs.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), jobs.len(), wrong.join("\n"));
    assert!(injected * 10 > jobs.len() * 9, "only {injected} of {} lives met their fault", jobs.len());
}

/// Reads are those of `/proc` by the standard library, many for each look at what memory is left; each tells the same.
fn step(fault: &Fault) -> usize {
    if fault.call == "read" { 5 } else { 1 }
}

/// How often each call is made at most by one thread: strace counts for each thread by itself.
fn count() -> BTreeMap<&'static str, usize> {
    let counted = traced::counted();
    assert_eq!((counted.code, counted.told.as_str()), (Some(0), "all of it"), "{counted:?}");
    let of = |call| counted.calls(call).into_values().max().unwrap_or(0);
    let counted: BTreeMap<_, _> = FAULTS.iter().map(|fault| (fault.call, of(fault.call))).collect();
    let never: Vec<_> = counted.iter().filter(|(_, count)| **count == 0).map(|(call, _)| *call).collect();
    assert!(never.is_empty(), "a life without {never:?}; this kernel has other calls, or the list is old");
    counted
}

fn judge(fault: &Fault, ended: &Ended) -> Result<(), String> {
    if ended.hits().iter().any(|line| line.contains("MAP_ANONYMOUS")) {
        return Ok(()); // an allocation of the language's own, which has no errors
    }
    match (ended.code, fault.seen) {
        (Some(0), _) if ended.told == "all of it" => Ok(()),
        (Some(0), Seen::Never) => Err(format!("it must not be noticed, but: {}", ended.told)),
        (Some(0), Seen::As(words)) => {
            // The other end can only tell by ending the session.
            let names = words.iter().chain(&["its writer is gone"]).any(|word| ended.told.contains(word));
            if names { Ok(()) } else { Err(format!("nothing in this names it: {}", ended.told)) }
        }
        _ => Err(format!("{ended:?}")),
    }
}
