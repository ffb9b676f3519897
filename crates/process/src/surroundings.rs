//! What a process is given beside its configuration: priority, processors, limits. It takes them itself, before
//! anything else of it runs, so there is no moment without them and no fork with code in between.

use std::{fs::File, io::Write, path::PathBuf};

use rustix::{
    process::{Resource, Rlimit, setpriority_process, setrlimit},
    thread::{CpuSet, sched_setaffinity},
};
use serde::{Deserialize, Serialize};

use crate::{BoxError, system};

/// A resource limit of a process ([`Spawn::limit`](crate::Spawn::limit)), with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Limit {
    /// Open descriptors.
    OpenFiles,
    /// The size of a core dump, in bytes.
    CoreBytes,
    /// Time on a processor, in seconds; then SIGXCPU.
    CpuSeconds,
    /// The size of a file that it writes, in bytes; then SIGXFSZ.
    FileBytes,
    /// Address space, in bytes, shared memory included.
    AddressSpaceBytes,
    /// Private writable memory, in bytes, also where it isn't touched yet.
    DataBytes,
    /// Processes and threads of its user.
    Processes,
    /// The main thread's stack, in bytes.
    StackBytes,
    /// Memory that is never swapped out, in bytes.
    LockedBytes,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Surroundings {
    pub nice: Option<i32>,
    pub cpus: Option<Vec<usize>>,
    pub limits: Vec<(Limit, u64)>,
    /// What bounds its memory between two looks at it.
    pub bound: Option<(Limit, u64)>,
    /// By which file it goes into its control group.
    pub group: Option<PathBuf>,
    /// How many descriptors it may have open if nobody says otherwise; `None`: as many as its parent.
    pub open_files: Option<u64>,
    /// How many descriptors this program could have open before it raised that for itself: so many for programs that aren't ours.
    #[serde(default)]
    pub original_open_files: Option<u64>,
    /// Which part of its status page it writes.
    pub status_part: u64,
}

impl Surroundings {
    /// Takes them. Called while the process has one thread: later ones inherit.
    pub(crate) fn take(&self) -> Result<(), BoxError> {
        if let Some(group) = &self.group {
            // 0 is whoever writes it.
            let entered = File::options().write(true).open(group).and_then(|mut door| door.write_all(b"0"));
            entered.map_err(|error| format!("go into its control group by {}: {error}", group.display()))?;
        }
        if let Some(nice) = self.nice {
            setpriority_process(None, nice).map_err(|errno| format!("take nice value {nice}: {errno}"))?;
        }
        if let Some(cpus) = &self.cpus {
            let mut set = CpuSet::new();
            for cpu in cpus {
                if *cpu >= CpuSet::MAX_CPU {
                    let last = CpuSet::MAX_CPU - 1;
                    return Err(format!("run on processor {cpu}: {last} is the last one there can be").into());
                }
                set.set(*cpu);
            }
            sched_setaffinity(None, &set).map_err(|errno| format!("run on processors {cpus:?}: {errno}"))?;
        }
        if let Some(soft) = self.open_files {
            let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
            // It was this before its parent raised it, so it can be this again.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: hard });
        }
        self.original_open_files.into_iter().for_each(system::inherit_open_files);
        for (limit, value) in self.limits.iter().chain(&self.bound) {
            setrlimit(limit.resource(), Rlimit { current: Some(*value), maximum: Some(*value) })
                .map_err(|errno| format!("take limit {limit:?} = {value}: {errno}"))?;
        }
        Ok(())
    }
}

impl Limit {
    fn resource(self) -> Resource {
        match self {
            Self::OpenFiles => Resource::Nofile,
            Self::CoreBytes => Resource::Core,
            Self::CpuSeconds => Resource::Cpu,
            Self::FileBytes => Resource::Fsize,
            Self::AddressSpaceBytes => Resource::As,
            Self::DataBytes => Resource::Data,
            Self::Processes => Resource::Nproc,
            Self::StackBytes => Resource::Stack,
            Self::LockedBytes => Resource::Memlock,
        }
    }
}
