//! The process that the tests start.

use std::{fs, time::Duration};

use process::{BoxError, Context, Launcher, Process, commands};
use serde::{Deserialize, Serialize};
use shm::{lock::Lock, queue::Queue};

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config {
    pub panics: bool,
    /// Counts who has begun.
    pub begun: Option<Lock<u64>>,
}

#[derive(Default)]
pub struct Subject {
    inner: Option<SubjectHandle>,
    held: Option<Lock<u64>>,
}

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Config;
    type Event = ();

    fn start(config: Config, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        assert!(!config.panics, "no start");
        if let Some(begun) = config.begun {
            *begun.lock().map_err(|error| error.to_string())? += 1;
        }
        Ok(Self::default())
    }
}

#[commands]
impl Subject {
    pub fn half(&mut self, number: u64) -> u64 {
        assert!(number.is_multiple_of(2), "{number} is odd");
        number / 2
    }

    pub fn leave(&mut self, code: i32) {
        println!("going");
        eprintln!("with {code}");
        std::process::exit(code);
    }

    pub fn panic_for_good(&mut self, cx: &mut Context<Self>) {
        let bell = cx.bell().clone();
        bell.ring();
        cx.watch(bell, |_, _| panic!("for good")).map(drop).unwrap();
    }

    /// A variable, and the working folder.
    pub fn surroundings(&mut self, variable: String) -> (Option<String>, String) {
        (std::env::var(variable).ok(), std::env::current_dir().unwrap().to_string_lossy().into_owned())
    }

    /// What the kernel says of signals, rights and threads of this process.
    pub fn standing(&mut self) -> Vec<String> {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let wanted = ["Sig", "Shd", "Threads", "Uid", "Umask", "Cap", "Seccomp", "NoNewPrivs"];
        status.lines().filter(|line| wanted.iter().any(|wanted| line.starts_with(wanted))).map(str::to_owned).collect()
    }

    /// All that is open here, by what it leads to.
    pub fn open(&mut self) -> Vec<String> {
        let all = fs::read_dir("/proc/self/fd").unwrap();
        let led = all.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        led.map(|target| target.to_string_lossy().into_owned()).collect()
    }

    /// Takes from one, and adds to the other, until there is no more.
    pub fn work(&mut self, tasks: Queue<u64>, sum: Lock<u64>) -> Result<u64, String> {
        let mut done = 0;
        while let Ok(task) = tasks.get() {
            *sum.lock().map_err(|error| error.to_string())? += task;
            done += 1;
        }
        Ok(done)
    }

    /// Takes a lock, and says so; it keeps it for good.
    pub fn hold(&mut self, lock: Lock<u64>) -> Result<(), String> {
        let mut guard = lock.lock().map_err(|error| error.to_string())?;
        *guard = 7;
        guard.keep();
        self.held = Some(lock);
        Ok(())
    }

    /// Computes in so many threads at once.
    pub fn in_threads(&mut self, count: u64) -> u64 {
        let threads: Vec<_> = (0..count).map(|index| std::thread::spawn(move || index)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }

    /// A number that nobody could guess.
    pub fn random(&mut self) -> u64 {
        use std::hash::BuildHasher;
        std::hash::RandomState::new().hash_one(0)
    }

    /// Starts a subject of its own, which does the same until `levels` is 0, and gives the identifiers of all.
    pub fn nest(&mut self, levels: u32, cx: &mut Context<Self>) -> Result<Vec<i32>, String> {
        let mut pids = vec![std::process::id() as i32];
        if levels > 0 {
            let system = cx.system().map_err(|error| error.to_string())?;
            let name = format!("{}.{levels}", cx.name());
            let inner = super::seen::start(system, &name);
            let theirs = inner.nest(levels - 1).wait_for(Duration::from_secs(20));
            pids.extend(theirs.map_err(|error| error.to_string())??);
            self.inner = Some(inner);
        }
        Ok(pids)
    }

    /// Starts one of its own by exec, and says whether that was done.
    pub fn nest_by_exec(&mut self, cx: &mut Context<Self>) -> Result<bool, String> {
        let system = cx.system().map_err(|error| error.to_string())?;
        let inner = system.spawn::<Subject>(Config::default()).name("by exec").launcher(Launcher::Exec);
        let inner = inner.start().map_err(|error| error.to_string())?;
        Ok(!super::seen::is_copy(super::seen::pid(&inner)))
    }
}
