//! What a process is given beside its configuration, as Python says it.

use std::{collections::BTreeSet, path::PathBuf, sync::Mutex, sync::PoisonError, time::Duration};

use process::{DuringRestart, Limit, Overflow, Restart, Spawn};
use pyo3::{exceptions::PyValueError, prelude::*};

use super::child::PythonProcess;

/// All of them; `framewire.System.spawn` says what each is.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options {
    name: String,
    kind: Option<String>,
    restart: (String, u32, f64, f64),
    pub ready_within: f64,
    responsive_within: Option<f64>,
    env: Vec<(String, Option<String>)>,
    cwd: Option<PathBuf>,
    nice: Option<i32>,
    cpus: Option<Vec<usize>>,
    limits: Vec<(String, u64)>,
    memory_limit: Option<u64>,
    overflow: (String, usize),
    wait_for_restart: bool,
}

impl Options {
    pub fn apply<'s>(self, mut spawn: Spawn<'s, PythonProcess>) -> PyResult<Spawn<'s, PythonProcess>> {
        spawn = spawn.name(self.name).ready_within(seconds("ready_within", self.ready_within)?);
        let (when, at_most, within, longest_delay) = self.restart;
        let policy = match when.as_str() {
            "never" => Restart::never(),
            "on_failure" => Restart::on_failure(),
            "always" => Restart::always(),
            other => return Err(unknown("restart", other, "never, on_failure, always")),
        };
        spawn = spawn.restart(
            policy
                .at_most(at_most)
                .within(seconds("within", within)?)
                .longest_delay(seconds("longest_delay", longest_delay)?),
        );
        let (policy, most) = self.overflow;
        spawn = spawn.overflow(match policy.as_str() {
            "drop_oldest" => Overflow::DropOldest(most),
            "drop_newest" => Overflow::DropNewest(most),
            "wait" => Overflow::Wait(most),
            other => return Err(unknown("overflow", other, "drop_oldest, drop_newest, wait")),
        });
        if let Some(limit) = self.responsive_within {
            spawn = spawn.responsive_within(seconds("responsive_within", limit)?);
        }
        for (name, value) in self.env {
            spawn = match value {
                Some(value) => spawn.env(name, value),
                None => spawn.env_remove(name),
            };
        }
        if let Some(folder) = self.cwd {
            spawn = spawn.current_dir(folder);
        }
        if let Some(nice) = self.nice {
            spawn = spawn.nice(nice);
        }
        if let Some(cpus) = self.cpus {
            spawn = spawn.cpus(cpus);
        }
        for (name, value) in self.limits {
            spawn = spawn.limit(limit(&name)?, value);
        }
        if let Some(bytes) = self.memory_limit {
            spawn = spawn.memory_limit(bytes);
        }
        if self.wait_for_restart {
            spawn = spawn.during_restart(DuringRestart::Wait);
        }
        Ok(match self.kind {
            Some(kind) => spawn.kind(for_good(kind)),
            None => spawn,
        })
    }
}

/// For ever, as far as a process is concerned: a hundred years. What is added to it is still a time.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Seconds from Python; what is negative is none, what is longer than a century is a century.
///
/// # Errors
///
/// `ValueError` for NaN.
pub fn seconds(what: &str, seconds: f64) -> PyResult<Duration> {
    if seconds.is_nan() {
        return Err(PyValueError::new_err(format!("could not take NaN seconds for {what}: give a number")));
    }
    Ok(Duration::try_from_secs_f64(seconds.max(0.0)).map_or(FOR_EVER, |given| given.min(FOR_EVER)))
}

fn limit(name: &str) -> PyResult<Limit> {
    Ok(match name {
        "open_files" => Limit::OpenFiles,
        "core_bytes" => Limit::CoreBytes,
        "cpu_seconds" => Limit::CpuSeconds,
        "file_bytes" => Limit::FileBytes,
        "address_space_bytes" => Limit::AddressSpaceBytes,
        "data_bytes" => Limit::DataBytes,
        "processes" => Limit::Processes,
        "stack_bytes" => Limit::StackBytes,
        "locked_bytes" => Limit::LockedBytes,
        other => {
            let known = "open_files, core_bytes, cpu_seconds, file_bytes, address_space_bytes, data_bytes, processes, \
                         stack_bytes, locked_bytes";
            return Err(unknown("limit", other, known));
        }
    })
}

fn unknown(what: &str, given: &str, known: &str) -> PyErr {
    PyValueError::new_err(format!("could not spawn a process: there is no {what} {given:?}; there are {known}"))
}

/// A kind's name lives as long as this process: there are only as many as programs have kinds.
fn for_good(kind: String) -> &'static str {
    static KINDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut kinds = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    match kinds.get(kind.as_str()) {
        Some(known) => known,
        None => {
            let kind: &'static str = kind.leak();
            kinds.insert(kind);
            kind
        }
    }
}
