//! Watching a camera.

mod clock;
mod connect;
mod error;
mod session;

pub use connect::connect;
pub use error::CameraError;
pub use session::Session;

use std::time::Duration;

/// How the pictures travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Inside the connection of the commands. Nothing is lost; a bad network shows as delay.
    #[default]
    Tcp,
    /// In packets of their own, for cameras that offer nothing else. What is lost stays lost.
    Udp,
}

/// How to watch a camera.
#[derive(Debug, Clone)]
pub struct Options {
    /// How the pictures travel.
    pub transport: Transport,
    /// How long connecting may take, up to the camera's consent to play.
    pub connect_timeout: Duration,
    /// After how long without a picture the camera counts as silent.
    pub silence_timeout: Duration,
}

impl Default for Options {
    /// TCP; ten seconds for each, which slow cameras need to wake up, and after which nobody believes in a network
    /// hiccup.
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self { transport: Transport::Tcp, connect_timeout: ten, silence_timeout: ten }
    }
}
