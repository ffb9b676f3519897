//! A camera of our own: plays a clip for ever to whoever asks, as the test rig and the demonstration.
//!
//! All clients share one time axis, which begins when the server starts, as with a camera: whoever comes later sees
//! what the others see. Each client has its own pace of sending; one that is slow loses pictures and delays nobody.

mod auth;
mod clock;
mod connection;
mod packets;
mod request;
mod sdp;
mod sender;
mod transport;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::net::TcpListener;

use crate::mp4::Clip;
use crate::source::Credentials;
use clock::Clock;

/// More clients than a camera serves; each costs a connection and 64 KiB at most.
const MAX_CLIENTS: usize = 64;

/// After an error of `accept`, which is mostly "too many open files": time for others to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the camera pretends to be.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The path of the stream in its URL, such as `/door`. Any other is "404 Not Found".
    pub path: String,
    /// Who may watch; everybody if `None`. Asked for by Digest; Basic is accepted too.
    pub credentials: Option<Credentials>,
}

/// What all connections share.
struct Camera {
    clip: Arc<Clip>,
    path: String,
    auth: auth::Auth,
    clock: Clock,
}

/// Serves `clip` to everybody who connects to `listener`, until the future is dropped: that ends all connections.
///
/// # Errors
///
/// None so far: what a client does concerns that client, and failing to accept one is tried again.
pub async fn serve(listener: TcpListener, clip: Arc<Clip>, options: ServerOptions) -> io::Result<()> {
    let path = format!("/{}", options.path.trim_matches('/'));
    let camera = Camera { clip, path, auth: auth::Auth::new(options.credentials), clock: Clock::start() };
    let mut clients = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                Ok((socket, peer)) => clients.push(connection::serve(&camera, socket, peer)),
                Err(error) => {
                    tracing::warn!(%error, "the fake camera couldn't accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some((peer, ended)) = clients.next(), if !clients.is_empty() => match ended {
                Ok(()) => tracing::debug!(%peer, "a client of the fake camera left"),
                Err(error) => tracing::debug!(%peer, %error, "a client of the fake camera was dropped"),
            },
        }
    }
}
