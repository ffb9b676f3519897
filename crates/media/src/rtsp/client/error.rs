use std::time::Duration;

use crate::h264::H264Error;

/// Why a camera can't be watched. Each message names the camera's host, what happened and what to do, and never a
/// password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// Nothing listens at the port.
    #[error("{host} refused the connection: is the camera's RTSP service on, and is the port right?")]
    Refused {
        /// Host and port.
        host: String,
    },
    /// The network knows no way to the host.
    #[error("{host} can't be reached ({reason}): check the address, the cable and the network")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// The camera wants another user or password, or any at all.
    #[error("{host} refused the {what}: correct it in the camera's URL, rtsp://user:password@host/path")]
    Unauthorised {
        /// Host and port.
        host: String,
        /// "user or password", or that there was none.
        what: &'static str,
    },
    /// The camera answers and has nothing under this path.
    #[error("{host} has no stream at `{path}`: look the path up in the camera's manual or settings")]
    NotFound {
        /// Host and port.
        host: String,
        /// The path of the URL.
        path: String,
    },
    /// Nothing came in time.
    #[error("{host} was silent for {} s while {during}: restart the camera if that goes on", waited.as_secs_f32())]
    Silent {
        /// Host and port.
        host: String,
        /// What was waited for.
        during: &'static str,
        /// How long.
        waited: Duration,
    },
    /// The camera sends video in another format.
    #[error("{host} sends {found}, which isn't supported yet: set the camera to H.264")]
    NotH264 {
        /// Host and port.
        host: String,
        /// The format.
        found: String,
    },
    /// The camera ended the stream.
    #[error("{host} ended the stream")]
    Ended {
        /// Host and port.
        host: String,
    },
    /// What the camera sends makes no sense.
    #[error("{host} sends a broken stream ({reason}): connecting again may help")]
    BadStream {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The source is a file.
    #[error("{place} is a file, not a camera")]
    NotACamera {
        /// Its path.
        place: String,
    },
}

impl CameraError {
    /// The state of the camera, as the HTTP interface names it: `refused`, `unauthorised`, `silent` or `bad-stream`.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Refused { .. } | Self::Unreachable { .. } => "refused",
            Self::Unauthorised { .. } => "unauthorised",
            Self::Silent { .. } | Self::Ended { .. } => "silent",
            Self::NotFound { .. } | Self::NotH264 { .. } | Self::BadStream { .. } | Self::NotACamera { .. } => {
                "bad-stream"
            }
        }
    }

    pub(super) fn bad_unit(host: &str, error: &H264Error) -> Self {
        Self::BadStream { host: host.into(), reason: error.to_string() }
    }

    /// From an error of the RTSP library, whose kind shows in its status code and its text only.
    pub(super) fn from_retina(host: &str, path: &str, had_password: bool, error: &retina::Error) -> Self {
        let host = host.to_owned();
        match error.status_code() {
            Some(401 | 403) if had_password => return Self::Unauthorised { host, what: "user or password" },
            Some(401 | 403) => return Self::Unauthorised { host, what: "request without a password" },
            Some(404) => return Self::NotFound { host, path: path.into() },
            _ => {}
        }
        let text = error.to_string();
        // Only the first line: the others are for a packet capture.
        let reason = text.lines().next().unwrap_or_default().to_owned();
        let Some(connecting) = reason.strip_prefix("Unable to connect to RTSP server: ") else {
            return Self::BadStream { host, reason };
        };
        // 111 is ECONNREFUSED.
        if connecting.contains("os error 111") {
            return Self::Refused { host };
        }
        Self::Unreachable { host, reason: connecting.to_owned() }
    }
}
