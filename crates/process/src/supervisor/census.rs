//! How all processes do at one moment: for whoever reports it, and as proof that the supervisor's loop turns.

use super::State;

/// All that there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    pub standings: Vec<Standing>,
    /// All were told to stop.
    pub stopping: bool,
}

/// How one process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub id: u64,
    pub name: String,
    pub state: State,
    /// While it is ready and one of ours: a number that grows with what it does, and whether it has anything to do.
    pub heart: Option<(u64, bool)>,
}
