//! What a camera's stream is like now.

/// A camera's state, as everybody sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Condition {
    /// Being connected.
    Connecting = 1,
    /// Pictures come.
    Streaming = 2,
    /// It can't be reached, or nothing listens there.
    Refused = 3,
    /// It doesn't take the password.
    Unauthorised = 4,
    /// It doesn't say anything.
    Silent = 5,
    /// What it sends can't be used.
    BadStream = 6,
}

impl Condition {
    /// The state that a status page's number stands for; `None` if its process isn't running.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        use Condition::*;
        [Connecting, Streaming, Refused, Unauthorised, Silent, BadStream].into_iter().find(|it| *it as u64 == number)
    }

    /// As in the HTTP interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Refused => "refused",
            Self::Unauthorised => "unauthorised",
            Self::Silent => "silent",
            Self::BadStream => "bad-stream",
        }
    }

    /// From what `media` calls it.
    pub(super) fn of_error(error: &media::rtsp::client::CameraError) -> Self {
        match error.state() {
            "refused" => Self::Refused,
            "unauthorised" => Self::Unauthorised,
            "silent" => Self::Silent,
            _ => Self::BadStream,
        }
    }
}
