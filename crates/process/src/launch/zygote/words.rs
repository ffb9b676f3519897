//! What a zygote and its application say to each other.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};
use shm::wire::{Passed, Socket};

use super::super::inherited::Variables;

/// How a zygote is told from the application: its first argument.
pub(crate) const ZYGOTE: &str = "__zygote";

/// A child to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Errand {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) line: Passed,
    pub(super) stdout: Passed,
    pub(super) stderr: Passed,
    pub(super) folder: Passed,
    /// What its environment has that the zygote's hasn't.
    pub(super) variables: Variables,
}

/// What comes from a zygote, or from its trial child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Word {
    /// The trial child is there.
    Trial { pidfd: Passed },
    /// The trial child: it is what a child must be.
    Sound,
    /// There can be no zygote, and why.
    Unfit(String),
    /// There can be none now, but perhaps later: completes "could not …".
    NotNow(String),
    /// The child is there.
    Born { pid: i32, pidfd: Passed },
    /// It could not be made: completes "could not …".
    Failed(String),
}

impl Errand {
    pub(crate) fn new(
        kind: &str,
        name: &str,
        line: Socket,
        [stdout, stderr, folder]: [OwnedFd; 3],
        variables: Variables,
    ) -> Self {
        let (kind, name, line) = (kind.to_owned(), name.to_owned(), Passed::new(line.into_owned()));
        let (stdout, stderr, folder) = (Passed::new(stdout), Passed::new(stderr), Passed::new(folder));
        Self { kind, name, line, stdout, stderr, folder, variables }
    }
}
