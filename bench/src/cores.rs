//! Which core does what.

use std::sync::OnceLock;

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Where the two sides run. It decides more than all else: to wake another core costs an interrupt, and to read what
/// another core has just written fetches it from that core's cache.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Placement {
    /// For people.
    pub name: &'static str,
    /// Where this process runs.
    pub writer: Core,
    /// Where the other one does.
    pub reader: Core,
}

/// A core to run on; none: the scheduler's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Core(Option<usize>);

impl Placement {
    /// Wherever the scheduler likes.
    #[must_use]
    pub fn any() -> Vec<Self> {
        vec![Self { name: "not pinned", writer: Core::ANY, reader: Core::ANY }]
    }

    /// Both sides on one core, and each on its own if we may run on two.
    ///
    /// # Errors
    ///
    /// If the kernel doesn't tell which cores are ours.
    pub fn pinned() -> Outcome<Vec<Self>> {
        let ours = ours()?;
        let mut ours = (0..CpuSet::MAX_CPU).filter(|core| ours.is_set(*core));
        let (writer, other) = (Core(ours.next()), ours.next());
        let mut placements = vec![Self { name: "one core", writer, reader: writer }];
        placements.extend(other.map(|other| Self { name: "two cores", writer, reader: Core(Some(other)) }));
        Ok(placements)
    }
}

impl Core {
    /// The scheduler's choice.
    pub const ANY: Self = Self(None);

    /// Keeps the calling thread there.
    ///
    /// # Errors
    ///
    /// If it isn't a core of ours.
    pub fn pin(self) -> Outcome {
        self.pin_thread(None)
    }

    /// Keeps a thread there, by its identifier; none: the calling one.
    ///
    /// # Errors
    ///
    /// If it isn't a core of ours, or there is no such thread.
    pub fn pin_thread(self, thread: Option<Pid>) -> Outcome {
        let ours = ours()?;
        let (set, what) = match self.0 {
            Some(core) => {
                let mut set = CpuSet::new();
                set.set(core);
                (set, format!("keep to core {core}"))
            }
            None => (ours, "run on any core".to_owned()),
        };
        Ok(sched_setaffinity(thread, &set).map_err(|error| format!("{what}: {error}"))?)
    }
}

/// The cores that this process was given, before it kept to any.
fn ours() -> Outcome<CpuSet> {
    static OURS: OnceLock<CpuSet> = OnceLock::new();
    if let Some(ours) = OURS.get() {
        return Ok(*ours);
    }
    let ours = sched_getaffinity(None).map_err(|error| format!("ask which cores we may run on: {error}"))?;
    Ok(*OURS.get_or_init(|| ours))
}
