//! The process that the tests start.

use std::{
    fs::File,
    io::Read,
    time::{Duration, Instant},
};

use process::{BoxError, Context, Process, commands};
use serde::{Deserialize, Serialize};
use shm::wire::Passed;

/// What it does at its start, and when it is asked to stop.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Manner {
    #[default]
    Well,
    FailsToStart,
    PanicsAtStart,
    ExitsAtStart,
    NeverReady,
    IgnoresStop,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config {
    pub manner: Manner,
    pub file: Option<Passed>,
}

pub struct Subject {
    config: Config,
    total: u64,
}

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Config;
    type Event = u64;

    fn start(config: Config, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        match config.manner {
            Manner::FailsToStart => return Err("the model isn't there".into()),
            Manner::PanicsAtStart => panic!("no start"),
            Manner::ExitsAtStart => {
                eprintln!("the last line");
                std::process::exit(3)
            }
            Manner::NeverReady => spin_for(Duration::from_secs(600)),
            Manner::Well | Manner::IgnoresStop => {}
        }
        Ok(Self { config, total: 0 })
    }

    fn stop(self) {
        if matches!(self.config.manner, Manner::IgnoresStop) {
            spin_for(Duration::from_secs(600));
        }
    }
}

#[commands]
impl Subject {
    /// Adds, and gives the total.
    pub fn add(&mut self, more: u64) -> u64 {
        self.total += more;
        self.total
    }

    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    pub fn checked_half(&mut self, number: u64) -> Result<u64, String> {
        if number.is_multiple_of(2) { Ok(number / 2) } else { Err(format!("{number} is odd")) }
    }

    pub fn reverse(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.reverse();
        bytes
    }

    pub fn panic(&mut self, message: String) {
        panic!("{message}");
    }

    /// Computes for so long, without looking at anything.
    pub fn spin(&mut self, milliseconds: u64) {
        spin_for(Duration::from_millis(milliseconds));
    }

    pub fn exit(&mut self, code: i32) {
        println!("going");
        std::process::exit(code);
    }

    /// Says so many events.
    pub fn count(&mut self, to: u64, cx: &mut Context<Self>) {
        (1..=to).for_each(|number| cx.emit(&number));
    }

    /// What is in the file that came with the configuration, and in this one.
    pub fn read(&mut self, other: Passed) -> Result<String, String> {
        let mut text = String::new();
        for passed in [self.config.file.clone().ok_or("no file")?, other] {
            let mut file = File::from(passed.into_owned().map_err(|error| error.to_string())?);
            file.read_to_string(&mut text).map_err(|error| error.to_string())?;
        }
        Ok(text)
    }

    /// Starts a process of its own, which would live for ever, and gives its identifier.
    pub fn grandchild(&mut self) -> Result<u32, String> {
        let child = std::process::Command::new("sleep").arg("1000").spawn();
        child.map(|child| child.id()).map_err(|error| error.to_string())
    }

    pub fn descriptors(&mut self) -> usize {
        std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
    }
}

fn spin_for(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
