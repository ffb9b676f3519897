//! Runs a life under strace.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{life, plan::FAULTS};

/// Longer than a life that waits in vain at each of its waits.
const LIMIT: Duration = Duration::from_secs(30);

/// How a life ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` for a signal, also for ours at the limit.
    pub code: Option<i32>,
    /// What it says of itself.
    pub told: String,
    log: String,
}

impl Ended {
    /// How many calls each thread made.
    pub fn calls(&self, call: &str) -> BTreeMap<&str, usize> {
        let mut calls = BTreeMap::new();
        for line in self.log.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            if rest.trim_start().strip_prefix(call).is_some_and(|rest| rest.starts_with('(')) {
                *calls.entry(thread).or_default() += 1;
            }
        }
        calls
    }

    /// The calls that failed as they were told.
    pub fn hits(&self) -> Vec<&str> {
        self.log.lines().filter(|line| line.ends_with("(INJECTED)")).collect()
    }

    pub fn was_hit(&self) -> bool {
        !self.hits().is_empty()
    }
}

/// A life without strace, that leaks something on purpose if `leak` says so.
pub fn untraced(leak: &str) -> Ended {
    let mut life = start(leak);
    let told = go(&mut life);
    end(life, told, String::new())
}

/// A life of which all calls that are of interest are in the log.
pub fn counted() -> Ended {
    let calls: Vec<&str> = FAULTS.iter().map(|fault| fault.call).collect();
    trace(&["-e", &format!("trace={}", calls.join(","))])
}

/// A life with a fault.
pub fn with(injection: &str) -> Ended {
    let call = injection.split(':').next().unwrap();
    trace(&["-e", &format!("trace={call}"), "-e", &format!("inject={injection}")])
}

fn trace(options: &[&str]) -> Ended {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let log = Log(std::env::temp_dir().join(format!("shm-faults-{}-{run}", std::process::id())));
    let mut life = start("");
    let mut strace = Command::new("strace")
        .args(["-f", "-e", "signal=none", "-o"])
        .arg(&log.0)
        .args(options)
        .args(["-p", &life.id().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is installed");
    let mut said = String::new();
    // Kept open to the end: strace says something of each thread.
    let mut stderr = BufReader::new(strace.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert!(said.contains("attached"), "{said}");
    let told = go(&mut life);
    let mut ended = end(life, told, String::new());
    strace.wait().unwrap();
    drop(stderr);
    ended.log = fs::read_to_string(&log.0).unwrap();
    ended
}

struct Log(PathBuf);

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Starts a life, which waits at its beginning.
fn start(leak: &str) -> Child {
    let mut life = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::process", "--nocapture"])
        .env(life::ROLE, leak)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::with_capacity(1, life.stdout.as_mut().unwrap());
    while !said.contains(life::READY) {
        said.clear();
        assert!(stdout.read_line(&mut said).unwrap() > 0, "it ended before it began");
    }
    life
}

/// Lets it begin, and gives what it says, to its end or to the limit.
fn go(life: &mut Child) -> String {
    life.stdin.take().unwrap().write_all(b"!").unwrap();
    let mut stderr = life.stderr.take().unwrap();
    let hearing = thread::spawn(move || {
        let mut told = Vec::new();
        let _ = stderr.read_to_end(&mut told);
        String::from_utf8_lossy(&told).trim().to_owned()
    });
    let end = Instant::now() + LIMIT;
    while life.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            life.kill().unwrap();
            break;
        }
        thread::sleep(Duration::from_millis(2)); // sleep: std has no wait with a limit
    }
    hearing.join().unwrap()
}

fn end(mut life: Child, told: String, log: String) -> Ended {
    Ended { code: life.wait().unwrap().code(), told, log }
}
