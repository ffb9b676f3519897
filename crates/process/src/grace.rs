//! How the time that a stop is given is shared out. Both sides know this, so the whole time is all that is told.

use std::time::Duration;

/// How long calls may go on: those that came before the stop, and asynchronous ones that run. One that never ends mustn't
/// cost the process its [`stop`](crate::Process::stop), which has the rest.
pub(crate) fn for_calls(grace: Duration) -> Duration {
    grace / 4
}

/// How long a process of ours has until SIGTERM: nearly all, since it was asked, and the signal would only cut short what it
/// does in order. What is left is for programs that it has started and that know nothing but the signal.
pub(crate) fn until_term(grace: Duration) -> Duration {
    grace - grace / 8
}

/// How much of what a process has left until SIGTERM its own children get: it needs a moment itself to end after them.
pub(crate) fn for_children(left: Duration) -> Duration {
    left - left / 8
}
