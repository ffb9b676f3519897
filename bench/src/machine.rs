//! On what it was measured.

use std::{fmt, fs};

use serde::Serialize;

use crate::Outcome;

/// The machine, and how busy it was when we began.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    cpu: String,
    kernel: String,
    cores: usize,
    /// How many others wanted to run in the last minute: above 1, the numbers are worth less.
    load: String,
}

impl Machine {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// If there is no `/proc`.
    pub fn this() -> Outcome<Self> {
        let file = |path: &str| fs::read_to_string(path).map_err(|error| format!("read {path}: {error}"));
        let (cpus, load, uname) = (file("/proc/cpuinfo")?, file("/proc/loadavg")?, rustix::system::uname());
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Ok(Self {
            cpu: model.map_or("of an unnamed model", |(_, model)| model.trim()).to_owned(),
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            cores: cpus.lines().filter(|line| line.starts_with("processor")).count(),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, kernel, cores, load } = self;
        write!(f, "{cpu}, {cores} cores, {kernel}, load {load}")
    }
}
