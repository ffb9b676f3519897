//! A running `framewire`, and how to ask it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Long enough for a loaded machine; only failures take so long.
pub const LIMIT: Duration = Duration::from_secs(30);
/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The program, with a temporary folder of its own. Killed when dropped.
pub struct Program {
    child: Child,
    /// All that it has written.
    output: Arc<Mutex<String>>,
    /// The address that it printed: host and port.
    pub address: String,
    temporary: PathBuf,
}

impl Program {
    pub fn start(arguments: &[&str]) -> Self {
        let temporary = std::env::temp_dir().join(format!("framewire-test-{}-{}", std::process::id(), unique()));
        fs::create_dir(&temporary).unwrap();
        let mut child = command(arguments).env("TMPDIR", &temporary).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), output.clone());
        collect(child.stderr.take().unwrap(), output.clone());
        let mut program = Self { child, output, address: String::new(), temporary };
        program.address = wait_for("its address", || {
            let output = program.output();
            let rest = output.split_once(" is at ")?.1.split_once("://")?.1;
            Some(rest.split(['\n', '/']).next()?.to_owned())
        });
        program
    }

    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The answer to a GET, as status and body.
    pub fn get(&self, path: &str, headers: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.get(path, "")?.1).ok()
    }

    /// Waits until something is so of an object in a list, and gives that object.
    pub fn wait_for_row(&self, path: &str, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let found = wait_for_or(|| {
            last = self.json(path)?.as_array()?.iter().find(|row| row["name"] == name).cloned();
            last.clone().filter(|row| is_so(row))
        });
        found.unwrap_or_else(|| panic!("{path} {name} is {last:?}; the program wrote:\n{}", self.output()))
    }

    pub fn children(&self) -> Vec<Pid> {
        let rows = self.json("/api/processes").unwrap();
        let pids = rows.as_array().unwrap().iter().filter(|row| row["name"] != "supervisor");
        pids.map(|row| Pid::from_raw(row["pid"].as_i64().unwrap() as i32).unwrap()).collect()
    }

    /// Stops it by a signal: how long that took, and its exit code.
    pub fn stop(mut self, signal: Signal) -> (Duration, Option<i32>) {
        let asked = Instant::now();
        kill_process(self.pid(), signal).unwrap();
        let status = wait_for("its end", || self.child.try_wait().unwrap());
        let left: Vec<_> = fs::read_dir(&self.temporary).unwrap().collect();
        assert!(left.is_empty(), "left in the temporary folder: {left:?}");
        (asked.elapsed(), status.code())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir(&self.temporary);
    }
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framewire"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A clip of the repository.
pub fn clip(name: &str) -> String {
    format!("{}/../../media/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn is_gone(pid: Pid) -> bool {
    match fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X'])),
        Err(_) => true,
    }
}

pub fn names_in_shm() -> Vec<String> {
    let entries = fs::read_dir("/dev/shm").map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let mut names: Vec<String> =
        entries.into_iter().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits until there is something, within the limit.
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for_or(look).unwrap_or_else(|| panic!("{what}: not within {LIMIT:?}"))
}

fn wait_for_or<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match look() {
            None if Instant::now() < end => thread::sleep(LOOK_EVERY), // sleep: nobody tells the test
            found => return found,
        }
    }
}

fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    });
}

fn unique() -> u32 {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
