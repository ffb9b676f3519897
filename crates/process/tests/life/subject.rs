//! The process that the tests start.

use std::{
    fs::File,
    io::Read,
    path::PathBuf,
    time::{Duration, Instant},
};

use process::{Blob, BoxError, Context, Process, commands};
use serde::{Deserialize, Serialize};
use shm::{
    status::Number,
    wire::{Packet, Passed},
};

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
    /// It takes a second to stop.
    TakesASecondToStop,
    /// Its `stop` takes so many milliseconds, and then makes this file.
    StopsSlowly(u64, PathBuf),
    /// Says so many events before it is ready.
    Says(u64),
    /// While there is such a file.
    FailsWhileThere(PathBuf),
    WaitsWhileThere(PathBuf),
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config {
    pub manner: Manner,
    pub file: Option<Passed>,
}

pub struct Subject {
    config: Config,
    total: u64,
    inner: Option<SubjectHandle>,
    memory: Vec<Vec<u8>>,
    cancelled: bool,
    hoard: Vec<File>,
}

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Config;
    type Event = u64;

    fn start(config: Config, cx: &mut Context<Self>) -> Result<Self, BoxError> {
        match config.manner {
            Manner::FailsToStart => return Err("the model isn't there".into()),
            Manner::PanicsAtStart => panic!("no start"),
            Manner::ExitsAtStart => {
                eprintln!("the last line");
                std::process::exit(3)
            }
            Manner::NeverReady => spin_for(Duration::from_secs(600)),
            Manner::FailsWhileThere(ref file) if file.exists() => return Err("not yet".into()),
            Manner::WaitsWhileThere(ref file) => {
                while file.exists() {
                    std::thread::sleep(Duration::from_millis(1)); // sleep: nobody tells
                }
            }
            Manner::Says(count) => (1..=count).for_each(|number| cx.emit(&number)),
            Manner::Well
            | Manner::IgnoresStop
            | Manner::TakesASecondToStop
            | Manner::StopsSlowly(..)
            | Manner::FailsWhileThere(_) => {}
        }
        Ok(Self { config, total: 0, inner: None, memory: Vec::new(), cancelled: false, hoard: Vec::new() })
    }

    fn stop(self) {
        match self.config.manner {
            Manner::IgnoresStop => spin_for(Duration::from_secs(600)),
            Manner::TakesASecondToStop => spin_for(Duration::from_secs(1)),
            Manner::StopsSlowly(milliseconds, file) => {
                std::thread::sleep(Duration::from_millis(milliseconds)); // sleep: that is what it is asked for
                File::create(file).unwrap();
            }
            _ => {}
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

    /// Works for so long, but no longer than somebody wants the answer. `was_cancelled` tells whether that was shorter.
    pub fn work(&mut self, milliseconds: u64, cx: &mut Context<Self>) {
        let end = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < end && !cx.is_cancelled() {
            std::hint::spin_loop();
        }
        self.cancelled = cx.is_cancelled();
    }

    /// Takes long, and says that it goes on.
    pub fn plod(&mut self, milliseconds: u64, cx: &mut Context<Self>) {
        for _ in 0..milliseconds {
            spin_for(Duration::from_millis(1));
            cx.progress();
        }
    }

    pub fn was_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Gives back what it got, in memory of its own.
    pub fn echo(&mut self, blob: Blob) -> Blob {
        blob
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        vec![1; count]
    }

    /// Opens all that it may, and keeps that until it is told again. How many it has.
    pub fn hoard(&mut self) -> usize {
        if self.hoard.is_empty() {
            self.hoard.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
            return self.hoard.len();
        }
        self.hoard.clear();
        0
    }

    pub fn length(&mut self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    /// As a fault in the event loop's own code would: nothing catches it.
    pub fn panic_for_good(&mut self, cx: &mut Context<Self>) {
        let bell = cx.bell().clone();
        bell.ring();
        cx.watch(bell, |_, _| panic!("for good")).map(drop).unwrap();
    }

    /// Computes for so long, without looking at anything.
    pub fn spin(&mut self, milliseconds: u64) {
        spin_for(Duration::from_millis(milliseconds));
    }

    pub fn leave(&mut self, code: i32) {
        println!("going");
        std::process::exit(code);
    }

    /// Writes so many lines.
    pub fn print(&mut self, lines: usize) {
        (0..lines).for_each(|line| println!("line {line}"));
    }

    /// Says so many events.
    pub fn count(&mut self, to: u64, cx: &mut Context<Self>) {
        (1..=to).for_each(|number| cx.emit(&number));
    }

    /// Says so many events, and takes down after each how many they are.
    pub fn count_aloud(&mut self, to: u64, cx: &mut Context<Self>) {
        for number in 1..=to {
            cx.emit(&number);
            cx.status().set(Number::FramesIn, number);
        }
    }

    /// Says so many events of so many bytes, if it must with no descriptor to be had.
    pub fn count_large(&mut self, count: u64, bytes: usize, starves: bool, cx: &mut Context<Self>) {
        let event = Packet::encode(&vec![200_u8; bytes]).unwrap();
        let held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok().filter(|_| starves)).collect();
        (0..count).for_each(|_| cx.voice().emit(&event));
        drop(held);
    }

    /// Says an event, then works for so long.
    pub fn say_and_work(&mut self, event: u64, milliseconds: u64, cx: &mut Context<Self>) {
        cx.emit(&event);
        spin_for(Duration::from_millis(milliseconds));
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

    /// As [`grandchild`](Self::grandchild), in a session of its own, where signals to the process group don't reach it.
    pub fn stray(&mut self) -> Result<u32, String> {
        let child = std::process::Command::new("setsid").args(["sleep", "1000"]).spawn();
        child.map(|child| child.id()).map_err(|error| error.to_string())
    }

    /// Starts a subject of its own, which does the same until `levels` is 0, and gives the identifiers of all.
    pub fn nest(&mut self, levels: u32, cx: &mut Context<Self>) -> Result<Vec<u32>, String> {
        let mut pids = vec![std::process::id()];
        if levels > 0 {
            let system = cx.system().map_err(|error| error.to_string())?;
            let name = format!("{}.inner", cx.name());
            let inner =
                system.spawn::<Subject>(Config::default()).name(name).start().map_err(|error| error.to_string())?;
            pids.extend(inner.nest(levels - 1).wait().map_err(|error| error.to_string())??);
            self.inner = Some(inner);
        }
        Ok(pids)
    }

    /// Starts a subject of its own whose `stop` takes so long and then makes a file.
    pub fn nest_slow(&mut self, milliseconds: u64, file: PathBuf, cx: &mut Context<Self>) {
        let config = Config { manner: Manner::StopsSlowly(milliseconds, file), file: None };
        self.inner = Some(cx.system().unwrap().spawn::<Subject>(config).name("slow").start().unwrap());
    }

    /// What it was given: a variable, its working folder, nice value, number of processors, and limit of open files.
    pub fn surroundings(&mut self, variable: String) -> (Option<String>, String, i32, u32, u64) {
        let folder = std::env::current_dir().unwrap().to_string_lossy().into_owned();
        let nice = rustix::process::getpriority_process(None).unwrap();
        let cpus = rustix::thread::sched_getaffinity(None).unwrap().count();
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap();
        (std::env::var(variable).ok(), folder, nice, cpus, files)
    }

    /// How many descriptors a program that it starts may have open.
    pub fn programs_open_files(&mut self, cx: &mut Context<Self>) -> Result<String, String> {
        super::foreign::open_files(cx.system().map_err(|error| error.to_string())?).map_err(|error| error.to_string())
    }

    /// Takes so much memory, touches it, and keeps it.
    pub fn take_memory(&mut self, bytes: usize, at_once: bool) {
        let step = if at_once { bytes } else { 4 << 20 };
        for _ in 0..bytes / step {
            let mut memory: Vec<u8> = Vec::with_capacity(step);
            memory.resize(step, 1);
            self.memory.push(memory);
            if !at_once {
                spin_for(Duration::from_millis(10));
            }
        }
    }

    /// Says that so many frames came in.
    pub fn frames(&mut self, count: u64, cx: &mut Context<Self>) {
        cx.status().add(Number::FramesIn, count);
    }

    /// The same, one each millisecond; gives how many there are.
    pub fn count_frames(&mut self, count: u64, cx: &mut Context<Self>) -> u64 {
        for _ in 0..count {
            spin_for(Duration::from_millis(1));
            cx.status().add(Number::FramesIn, 1);
        }
        cx.status().view().get(Number::FramesIn)
    }

    /// Its name is a keyword.
    pub fn r#move(&mut self, r#where: u64) -> u64 {
        self.total = r#where;
        self.total
    }

    #[cfg(not(unix))]
    pub fn elsewhere(&mut self, what: NoSuchType) {}

    #[cfg(unix)]
    pub fn here(&mut self) -> bool {
        true
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
