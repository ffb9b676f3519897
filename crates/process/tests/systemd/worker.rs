//! What the service runs.

use std::{
    fs::{self, File},
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use process::{BoxError, Context, Process, commands};
use serde::{Deserialize, Serialize};
use shm::{queue::Queue, wire::Passed};

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// It is ready once there is such a file.
    pub waits_for: Option<PathBuf>,
    /// It fails to start while there is such a file.
    pub fails_with: Option<PathBuf>,
    /// When it is asked to stop, it works on for so many milliseconds, and then makes this file.
    pub drains: Option<(u64, PathBuf)>,
}

pub struct Worker(Config);

impl Process for Worker {
    const KIND: &'static str = "worker";
    type Config = Config;
    type Event = ();

    fn start(config: Config, _: &mut Context<Self>) -> Result<Self, BoxError> {
        if config.fails_with.as_ref().is_some_and(|file| file.exists()) {
            return Err("it is broken".into());
        }
        while config.waits_for.as_ref().is_some_and(|file| !file.exists()) {
            thread::yield_now();
        }
        Ok(Self(config))
    }

    fn stop(self) {
        if let Some((milliseconds, file)) = self.0.drains {
            spin_for(Duration::from_millis(milliseconds));
            fs::write(file, "drained").unwrap();
        }
    }
}

#[commands]
impl Worker {
    pub fn pid(&self) -> i32 {
        std::process::id() as i32
    }

    /// The names in its environment.
    pub fn environment(&self) -> Vec<String> {
        std::env::vars().map(|(name, _)| name).collect()
    }

    /// What its descriptors lead to.
    pub fn inodes(&self) -> Vec<u64> {
        let numbers = fs::read_dir("/proc/self/fd").unwrap().flatten();
        numbers.filter_map(|entry| fs::metadata(entry.path()).ok()).map(|metadata| metadata.ino()).collect()
    }

    /// Computes for so long, and says nothing.
    pub fn spin(&mut self, milliseconds: u64) {
        spin_for(Duration::from_millis(milliseconds));
    }

    pub fn log(&mut self, text: String) {
        tracing::warn!(answer = 42, "{text}");
    }

    /// Says something unasked.
    pub fn speak(&mut self, cx: &mut Context<Self>) {
        cx.emit(&());
    }

    pub fn print(&mut self, text: String) {
        println!("{text}");
    }

    /// Does `count` items of a queue, notes each as done, then takes one more and keeps it for ever.
    pub fn consume(&mut self, queue: Queue<u64>, count: u64, notes: PathBuf) {
        for _ in 0..count {
            let item = queue.lease().unwrap();
            note(&notes, &format!("done {}", *item));
            item.done();
        }
        let item = queue.lease().unwrap();
        note(&notes, &format!("holds {}", *item));
        loop {
            thread::park();
        }
    }

    /// Does items until there are none.
    pub fn finish(&mut self, queue: Queue<u64>, notes: PathBuf) {
        while let Ok(item) = queue.try_lease() {
            note(&notes, &format!("done {} {}", *item, item.deliveries()));
            item.done();
        }
    }

    /// What is in the files that are in a queue.
    pub fn read_files(&mut self, queue: Queue<(u64, Passed)>) -> Vec<(u64, String)> {
        let mut read = Vec::new();
        while let Ok(item) = queue.try_lease() {
            let mut text = String::new();
            File::from(item.1.clone().into_owned().unwrap()).read_to_string(&mut text).unwrap();
            read.push((item.0, text));
            item.done();
        }
        read
    }

    /// Takes a file out of a queue, and keeps it for ever.
    pub fn hold_file(&mut self, queue: Queue<(u64, Passed)>, notes: PathBuf) {
        let item = queue.lease().unwrap();
        note(&notes, &format!("holds file {}", item.0));
        loop {
            thread::park();
        }
    }
}

/// Whole lines, also from several processes.
fn note(file: &Path, line: &str) {
    let mut file = File::options().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

pub fn spin_for(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
