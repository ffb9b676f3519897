//! The process of these tests.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, atomic::AtomicBool},
};

use process::{BoxError, Context, Process, System, commands};
use serde::{Deserialize, Serialize, Serializer};
use signal_hook::consts::SIGINT;

/// What it can be given, of every shape that Python's arguments have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arguments {
    pub number: i64,
    pub real: f64,
    pub text: String,
    pub bytes: Vec<u8>,
    pub list: Vec<Option<i32>>,
    pub named: BTreeMap<String, (u8, String)>,
}

/// Has no encoding.
#[derive(Debug, Deserialize)]
pub struct Unspeakable;

impl Serialize for Unspeakable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("there are no words"))
    }
}

pub struct Subject {
    arguments: Arguments,
    interrupted: Option<Arc<AtomicBool>>,
    fails: Option<String>,
}

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Arguments;
    type Event = ();

    fn start(arguments: Arguments, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self { arguments, interrupted: None, fails: None })
    }

    fn turn(&mut self, _cx: &mut Context<Self>) -> Result<process::Turn, BoxError> {
        self.fails.take().map_or(Ok(process::Turn::Sleep), |why| Err(why.into()))
    }
}

#[commands]
impl Subject {
    pub fn arguments(&mut self) -> Arguments {
        self.arguments.clone()
    }

    pub fn square(&mut self, number: u64) -> u64 {
        number * number
    }

    pub fn unspeakable(&mut self, what: Unspeakable) -> u64 {
        let _ = what;
        0
    }

    /// Its identifier, its parent's, and its name as the kernel knows it.
    pub fn who(&mut self, cx: &mut Context<Self>) -> (u32, i32, String, String) {
        let parent = rustix::process::getppid().unwrap().as_raw_pid();
        let known = fs::read_to_string("/proc/self/comm").unwrap().trim().to_owned();
        (std::process::id(), parent, cx.name().to_owned(), known)
    }

    /// Ends by itself with this code.
    pub fn sys_exit(&mut self, code: i32) {
        eprintln!("leaving with {code}");
        std::process::exit(code);
    }

    /// Ends by an error of its event loop.
    pub fn fail(&mut self, why: String) {
        self.fails = Some(why);
    }

    /// Doesn't die of SIGINT any more, but takes note of it.
    pub fn handle_interrupts(&mut self) {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, flag.clone()).unwrap();
        self.interrupted = Some(flag);
    }

    pub fn was_interrupted(&mut self) -> bool {
        self.interrupted.as_ref().is_some_and(|flag| flag.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// What its descriptors are: the number, and what is behind it.
    pub fn descriptors(&mut self) -> Vec<(i32, String)> {
        let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let one = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        };
        let mut all: Vec<(i32, String)> = entries.filter_map(one).collect();
        // The folder that was just read.
        all.retain(|(_, what)| !what.ends_with("/fd"));
        all.sort_unstable();
        all
    }

    /// Anonymous and resident memory, in bytes.
    pub fn memory(&mut self) -> u64 {
        resident()
    }
}

/// This process's resident private memory, in bytes.
pub fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

pub fn start(system: &System, name: &str) -> SubjectHandle {
    system.spawn::<Subject>(Arguments::default()).name(name).start().unwrap()
}
