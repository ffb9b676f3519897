//! The workers of the tests.

use std::{
    fs::File,
    io::{Read, Write},
    time::{Duration, Instant},
};

use process::{BoxError, Context, Pool, Process, System, commands, pool::Workers};
use rustix::process::{Signal, getpid, kill_process};
use serde::{Deserialize, Serialize, Serializer};
use shm::wire::Passed;

/// How it starts.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub enum Manner {
    #[default]
    Well,
    Fails,
    Dies,
    NeverReady,
    /// It is ready, and dies soon after.
    DiesSoon,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config {
    pub seat: usize,
    pub manner: Manner,
}

pub struct Subject {
    seat: usize,
    kept: Vec<Vec<u8>>,
}

/// Has no encoding.
#[derive(Debug, Deserialize)]
pub struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("there are no words"))
    }
}

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Config;
    type Event = ();

    fn start(config: Config, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        match config.manner {
            Manner::Well => {}
            Manner::Fails => return Err("the model isn't there".into()),
            Manner::Dies => die(),
            Manner::NeverReady => compute(Duration::from_secs(600)),
            Manner::DiesSoon => {
                std::thread::spawn(|| {
                    compute(Duration::from_millis(20));
                    die();
                });
            }
        }
        Ok(Self { seat: config.seat, kept: Vec::new() })
    }
}

#[commands]
impl Subject {
    pub fn square(&mut self, number: u64) -> u64 {
        number * number
    }

    pub fn add(&mut self, one: u64, other: u64) -> u64 {
        one + other
    }

    pub fn checked_half(&mut self, number: u64) -> Result<u64, String> {
        if number.is_multiple_of(2) { Ok(number / 2) } else { Err(format!("{number} is odd")) }
    }

    /// Panics at this one.
    pub fn panic_at(&mut self, number: u64, bad: u64) -> u64 {
        assert_ne!(number, bad, "I can't stand it");
        number
    }

    pub fn unspeakable(&mut self) -> Unspeakable {
        Unspeakable
    }

    pub fn whole_text(&mut self, text: String) -> usize {
        text.len()
    }

    pub fn pid(&mut self) -> i32 {
        getpid().as_raw_pid()
    }

    pub fn seat(&mut self) -> usize {
        self.seat
    }

    /// Computes for so long.
    pub fn compute(&mut self, microseconds: u64) -> i32 {
        compute(Duration::from_micros(microseconds));
        getpid().as_raw_pid()
    }

    /// Says in the log that it has begun this one, then computes.
    pub fn logged(&mut self, number: u64, microseconds: u64, log: Passed) -> u64 {
        write(log, number);
        compute(Duration::from_micros(microseconds));
        number
    }

    /// Says in the log that it has begun, and stays at it until it is killed.
    pub fn stay(&mut self, log: Passed) {
        write(log, 0);
        compute(Duration::from_secs(600));
    }

    /// Waits until there is something to read.
    pub fn wait_for(&mut self, gate: Passed) {
        let mut byte = [0];
        File::from(gate.into_owned().unwrap()).read_exact(&mut byte).unwrap();
    }

    /// Is killed at this one.
    pub fn die_at(&mut self, number: u64, bad: u64) -> u64 {
        if number == bad {
            die();
        }
        number
    }

    /// Ends by itself, as if all were well.
    pub fn leave(&mut self, code: i32) {
        std::process::exit(code);
    }

    /// Is killed if there is still something to read: so once, if one byte was written.
    pub fn die_once(&mut self, bytes: Passed) -> u64 {
        let mut byte = [0];
        if File::from(bytes.into_owned().unwrap()).read(&mut byte).unwrap() == 1 {
            die();
        }
        7
    }

    /// So many bytes of text.
    pub fn text(&mut self, bytes: usize) -> String {
        "x".repeat(bytes)
    }

    /// Keeps so many more bytes of memory.
    pub fn keep(&mut self, bytes: usize) -> i32 {
        self.kept.push(vec![1; bytes]);
        getpid().as_raw_pid()
    }

    /// Gives what it was given.
    pub fn same(&mut self, passed: Passed) -> Passed {
        passed
    }
}

fn write(log: Passed, number: u64) {
    File::from(log.into_owned().unwrap()).write_all(&number.to_le_bytes()).unwrap();
}

fn compute(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}

fn die() -> ! {
    kill_process(getpid(), Signal::KILL).unwrap();
    unreachable!("SIGKILL is not survived")
}

/// A pool in which all is well.
pub fn pool(system: &System, workers: impl Into<Workers>) -> Pool<Subject> {
    system.pool::<Subject>(workers, |seat| Config { seat, ..Config::default() }).unwrap()
}

/// A pipe in which tasks say that they have begun.
pub fn log() -> (std::io::PipeReader, Passed) {
    let (read, write) = std::io::pipe().unwrap();
    (read, Passed::new(write))
}

/// The next number that a task has said.
pub fn next(log: &mut std::io::PipeReader) -> u64 {
    let mut number = [0; 8];
    log.read_exact(&mut number).unwrap();
    u64::from_le_bytes(number)
}

/// All numbers that tasks have said, when nobody can say any more.
pub fn all(mut log: std::io::PipeReader, writer: Passed) -> Vec<u64> {
    drop(writer);
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).unwrap();
    bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)).collect()
}
