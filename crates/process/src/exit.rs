//! How a process ended.

use std::fmt;

use rustix::process::WaitIdStatus;

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code; 0 after it was asked to stop.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By a panic, with its message and place.
    Panic(String),
    /// It gave up and said why: an error of its start or of its event loop.
    Failed(String),
    /// It wasn't ready in time and was killed.
    NotReadyInTime,
    /// Somebody else waited for it, so nobody knows.
    Unknown,
}

impl Exit {
    /// Whether it is as it should be: asked to stop, and stopped.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }

    pub(crate) fn from_wait(status: Option<WaitIdStatus>) -> Self {
        match status {
            Some(status) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Self::Code(code),
                (_, Some(signal)) => Self::Signal(signal),
                _ => Self::Unknown,
            },
            None => Self::Unknown,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => match signal_hook::low_level::signal_name(*signal) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {signal}"),
            },
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Failed(cause) => write!(f, "failed: {cause}"),
            Self::NotReadyInTime => write!(f, "not ready in time"),
            Self::Unknown => write!(f, "ended, and somebody else took its exit status"),
        }
    }
}
