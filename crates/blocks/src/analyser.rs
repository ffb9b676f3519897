//! A block that somebody wrote in Python, as the rest of the graph knows it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use graph::{Block, BlockContext, BoxError, InputPort, OutputPort};
use serde::{Deserialize, Serialize};

use crate::{Found, Picture};

/// An analyser in Python. This is how it is known where it is spawned; the Python package becomes it, by a kind of the same
/// name, ports and configuration. One process serves all cameras, each by a wire with its name as label.
#[derive(Debug)]
pub enum Analyser {}

/// What an [`Analyser`] is started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalyserConfig {
    /// What its findings are said to come from: unique among the analysers.
    pub block: String,
    /// The Python file.
    pub file: PathBuf,
    /// The function or class in it; without, the only one that there is.
    pub name: Option<String>,
    /// Keyword arguments for it, as texts; Python makes of each what its annotation, or else its default, says.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// How long it may take to load, as its spawn has it; it says so when it takes long.
    #[serde(default)]
    pub ready_within: Option<Duration>,
    /// How long it may work on one picture, as its spawn has it; it says so when it takes long.
    #[serde(default)]
    pub responsive_within: Option<Duration>,
}

impl Analyser {
    /// The kind's name, on both sides.
    pub const KIND: &'static str = "analyser";
    /// So many pictures of each camera may it hold at once, that which it looks at among them: to compare it with those before.
    pub const LEASES: u32 = 4;
    /// What it looks at, as the view that it wishes for.
    pub const PICTURES: InputPort<Picture> = InputPort::new("pictures");
    /// What it finds, in pictures of all cameras.
    pub const FOUND: OutputPort<Found> = OutputPort::new("found");
}

impl Block for Analyser {
    const KIND: &'static str = Self::KIND;
    type Config = AnalyserConfig;

    fn start(config: AnalyserConfig, _cx: &mut BlockContext) -> Result<Self, BoxError> {
        Err(format!("run {}: this program has no Python in it; the framewire package does it", config.file.display())
            .into())
    }
}
