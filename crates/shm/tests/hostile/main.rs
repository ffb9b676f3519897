//! Peers that break every rule: an error, never a panic, an access out of bounds or a loop without an end.
//!
//! `reader.rs`, `writer.rs` and `packets.rs` each turn bytes into a peer's deeds, and watch what the honest side makes of them. Here
//! they run over a fixed sequence of pseudo-random bytes; `fuzz/` has the same for libFuzzer.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod directed;
mod packets;
mod reader;
mod script;
mod wild;
mod writer;

use std::{
    fs,
    sync::{atomic::Ordering, mpsc},
    thread,
    time::{Duration, Instant},
};

/// Longer than any step takes that doesn't wait for ever.
pub const LIMIT: Duration = Duration::from_secs(5);

/// How long a whole case may take before the process is ended, with the case's number.
const HANGS: Duration = Duration::from_secs(30);

#[test]
fn an_honest_reader_survives_any_writer() {
    const CASES: u64 = 250;
    run("reader", CASES, reader::run);
    // Scripts that are turned away at the door prove little.
    let [joined, frames, errors] = reader::REACHED.each_ref().map(|reached| reached.load(Ordering::Relaxed));
    println!("{joined} let in, {frames} frames, {errors} errors");
    assert!(
        joined > CASES / 2 && frames > CASES / 2 && errors > CASES,
        "{joined} let in, {frames} frames, {errors} errors"
    );
}

#[test]
fn an_honest_writer_and_its_honest_reader_survive_any_reader() {
    const CASES: u64 = 600;
    run("writer", CASES, writer::run);
    let joined = writer::REACHED.load(Ordering::Relaxed);
    println!("{joined} let in");
    assert!(joined > CASES, "only {joined} peers were let in");
}

#[test]
fn any_message_is_a_value_or_an_error() {
    run("packets", 4000, packets::run);
}

/// Runs an oracle over so many scripts. `SHM_HOSTILE_CASES` multiplies them; `SHM_HOSTILE_CASE` runs one alone.
fn run(name: &str, cases: u64, oracle: fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (first, last) = match number("SHM_HOSTILE_CASE") {
        Some(case) => (case, case),
        None => (1, cases * number("SHM_HOSTILE_CASES").unwrap_or(1)),
    };
    let (begin, begun) = mpsc::channel::<u64>();
    let name = name.to_owned();
    let watching = thread::spawn(move || {
        let mut current = 0;
        loop {
            match begun.recv_timeout(HANGS) {
                Ok(case) => current = case,
                Err(mpsc::RecvTimeoutError::Disconnected) => return current,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    eprintln!("{name}: case {current} hangs; run it alone with SHM_HOSTILE_CASE={current}");
                    std::process::abort();
                }
            }
        }
    });
    for case in first..=last {
        begin.send(case).unwrap();
        let bytes = script_of(case);
        let told = std::panic::catch_unwind(|| oracle(&bytes));
        assert!(told.is_ok(), "case {case}; run it alone with SHM_HOSTILE_CASE={case}");
    }
    drop(begin);
    assert_eq!(watching.join().unwrap(), last);
}

/// The bytes of a case: xorshift, of up to a kilobyte.
fn script_of(case: u64) -> Vec<u8> {
    let mut state = case.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = 100 + next() % 900;
    (0..length).map(|_| (next() >> 32) as u8).collect()
}

/// What a process has open and mapped of ours, for tests that look for leaks.
pub fn mapped() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| line.contains("/memfd:")).count()
}

/// How long `what` takes, which must be no more than [`LIMIT`].
pub fn soon<T>(what: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = what();
    assert!(begun.elapsed() < LIMIT, "it took {:?}", begun.elapsed());
    done
}
