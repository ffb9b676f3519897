//! How a process ended.

use std::{fmt, os::unix::process::ExitStatusExt, process::ExitStatus};

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
    /// It had more private memory than it was [allowed](crate::Spawn::memory_limit), or could get no more.
    OutOfMemory {
        /// What it was allowed, in bytes.
        limit_bytes: u64,
    },
    /// It had something to do and made no progress, so it was killed; see [`Spawn::responsive_within`].
    ///
    /// [`Spawn::responsive_within`]: crate::Spawn::responsive_within
    Unresponsive,
    /// It wasn't ready in time and was killed.
    NotReadyInTime,
    /// It ended before it was ready, in this way.
    LostBeforeReady(Box<Exit>),
    /// Somebody else waited for it, on a kernel that doesn't tell twice (before Linux 6.15), so nobody knows.
    Unknown,
}

impl Exit {
    /// Whether it is as it should be: asked to stop, and stopped.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// The number that CPython's `Process.exitcode` has for it: the code, the signal as a negative number, and 1 for
    /// whatever it said of itself. `None` if nobody knows.
    ///
    /// ```
    /// use process::Exit;
    /// assert_eq!(Exit::Code(3).number(), Some(3));
    /// assert_eq!(Exit::LostBeforeReady(Box::new(Exit::Signal(9))).number(), Some(-9));
    /// assert_eq!(Exit::Unknown.number(), None);
    /// ```
    #[must_use]
    pub fn number(&self) -> Option<i32> {
        match self {
            Self::Code(code) => Some(*code),
            Self::Signal(signal) => Some(-signal),
            Self::Panic(_) | Self::Failed(_) => Some(1),
            Self::OutOfMemory { .. } | Self::Unresponsive | Self::NotReadyInTime => Some(-9),
            Self::LostBeforeReady(how) => how.number(),
            Self::Unknown => None,
        }
    }

    pub(crate) fn from_wait(status: Option<WaitIdStatus>) -> Self {
        match status {
            Some(status) => Self::from_parts(status.exit_status(), status.terminating_signal()),
            None => Self::Unknown,
        }
    }

    /// From the number that `wait` gives.
    pub(crate) fn from_status(status: i32) -> Self {
        let status = ExitStatus::from_raw(status);
        Self::from_parts(status.code(), status.signal())
    }

    fn from_parts(code: Option<i32>, signal: Option<i32>) -> Self {
        match (code, signal) {
            (Some(code), _) => Self::Code(code),
            (_, Some(signal)) => Self::Signal(signal),
            _ => Self::Unknown,
        }
    }

    /// As text of so many bytes at most: its beginning says what it is, and its end, if it has a traceback, why.
    pub(crate) fn shortened(&self, most: usize) -> String {
        const BETWEEN: &str = " … ";
        let text = self.to_string();
        if text.len() <= most {
            return text;
        }
        let room = most.saturating_sub(BETWEEN.len());
        let begin = text.floor_char_boundary(room / 3);
        let end = text.ceil_char_boundary(text.len() - (room - begin));
        format!("{}{BETWEEN}{}", &text[..begin], &text[end..])
    }

    /// The same, of a process that never was ready. What it said of itself stays what it said.
    pub(crate) fn before_ready(self) -> Self {
        match self {
            Self::Code(_) | Self::Signal(_) | Self::Unknown => Self::LostBeforeReady(Box::new(self)),
            said => said,
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
            Self::OutOfMemory { limit_bytes } => write!(f, "out of memory: it was allowed {} MiB", limit_bytes >> 20),
            Self::Unresponsive => write!(f, "unresponsive: it had something to do and made no progress"),
            Self::NotReadyInTime => write!(f, "not ready in time"),
            Self::LostBeforeReady(how) => write!(f, "lost before it was ready: {how}"),
            Self::Unknown => write!(f, "ended, and somebody else took its exit status"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_end_its_beginning_and_its_cause_are_kept() {
        let exit = Exit::Failed(format!("{}ValueError: no such ä", "x".repeat(1000)));
        let short = exit.shortened(100);
        assert!(short.starts_with("failed: xxx") && short.ends_with("ValueError: no such ä"), "{short}");
        assert!((90..=100).contains(&short.len()), "{short}");
        assert_eq!(Exit::Code(3).shortened(100), "exit code 3");
    }
}
