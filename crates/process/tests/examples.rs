//! The examples do what they say, in the order in which one reads them.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// What an example prints, line by line.
fn said(name: &str, arguments: &[&str]) -> Vec<String> {
    let tests = std::env::current_exe().unwrap();
    let path: PathBuf = tests.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} isn't built: run `cargo build -p framewire-process --examples`", path.display());
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {told}{}", output.status, String::from_utf8_lossy(&output.stderr));
    told.lines().map(str::to_owned).collect()
}

#[test]
fn ping() {
    let told = said("ping", &[]);
    assert!(told.len() == 1 && told[0].starts_with("pong from process "), "{told:?}");
}

#[test]
fn ping_and_wait() {
    let expected = [
        "it took 20 ms",
        "no answer within 20 ms, so it was cancelled",
        "it runs: None",
        "it was killed, and the caller knows",
        "in the end: killed by SIGKILL",
    ];
    assert_eq!(said("ping_and_wait", &[]), expected);
}

#[test]
fn ping_pong() {
    let told = said("ping_pong", &[]);
    assert_eq!(told[..3], ["1: back at 15 m/s", "2: back at 22.5 m/s", "3: back at 33.75 m/s"]);
    assert_eq!(told[3..5], ["the player says: missed", "and unasked: too fast at 33.75 m/s"]);
    assert!(told[5].starts_with("it panicked: the racket is broken at "), "{told:?}");
    assert_eq!(told[6..], ["4: it goes on"]);
}

#[test]
fn shared_array() {
    let told = said("shared_array", &[]);
    assert_eq!(told[0], "[4000, 4000, 4000, 4000, 4000, 4000, 4000, 4000]");
    assert!(told[1].contains("adder.0: it died (killed by SIGABRT)"), "{told:?}");
    assert_eq!(told[2], "half done: [4001, 4001, 4001, 4001, 4000, 4000, 4000, 4000]");
    assert_eq!(told[3..], ["in order again: [4001, 4001, 4001, 4001, 4001, 4001, 4001, 4001]"]);
}

#[test]
fn shared_resource() {
    let expected = [
        "lent: 307200 bytes of colour 7",
        "after twelve more it is still of colour 7",
        "the newest is of colour 19",
        "the painter: killed by SIGKILL",
        "what it lent is still of colour 7",
    ];
    assert_eq!(said("shared_resource", &[]), expected);
}

#[test]
fn manager() {
    let told = said("manager", &[]);
    let answers = told.iter().filter(|line| line.starts_with("a worker says ")).count();
    let heard: String = told.iter().filter_map(|line| line.strip_prefix("the socket says ")).collect();
    assert!(answers == 4 && heard.contains("hello") && told.iter().any(|line| line == "tick"), "{told:?}");
    assert_eq!(told.last().unwrap(), "stopped");
}

#[test]
fn supervised_service() {
    let told = said("supervised_service", &[]);
    let has = |line: &str| told.iter().any(|told| told == line);
    assert!(has("answer 1") && has("answer 1, of a new one") && has("answer 1, of the next one"), "{told:?}");
    assert!(has("    base is ready") && has("    service is ready"), "{told:?}");
}

#[test]
fn pool() {
    assert_eq!(said("pool", &["40"]).last().unwrap(), "63951 primes below 800000");
}
