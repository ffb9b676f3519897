//! Following a stream through all its interruptions.

use std::{path::Path, sync::Arc, time::Duration};

use media::{
    file::Playback,
    mp4::Clip,
    rtsp::client::{self, Options},
    source::{CameraUrl, SourceKind},
};

use super::{Condition, publisher::Publisher};

/// The first wait after an interruption, doubled up to [`LONGEST_WAIT`] while nothing comes.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
/// A camera that was mended should be back before its owner wonders.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Cameras lock out who tries wrong passwords too often; five attempts in five minutes is a usual limit.
const WAIT_AFTER_REFUSED_PASSWORD: Duration = Duration::from_secs(65);

/// Publishes the stream for ever.
pub(super) async fn follow(url: CameraUrl, mut publisher: Publisher) {
    let (mut waits, mut told) = (0u32, None);
    loop {
        publisher.is(Condition::Connecting, &format!("connecting to {}", url.place()));
        let before = publisher.published();
        let (condition, why) = match url.kind() {
            SourceKind::Rtsp(_) => watch(&url, &mut publisher).await,
            SourceKind::File(path) => play(path, &mut publisher).await,
        };
        waits = if publisher.published() > before { 0 } else { waits + 1 };
        let wait = match condition {
            Condition::Unauthorised => WAIT_AFTER_REFUSED_PASSWORD,
            _ => LONGEST_WAIT.min(SHORTEST_WAIT * 2u32.saturating_pow(waits)),
        };
        let detail = format!("{why}; trying again in {:.1} s", wait.as_secs_f32());
        publisher.is(condition, &detail);
        // The page shows every attempt; the log tells of each trouble once.
        if told.as_ref() != Some(&why) || waits == 0 {
            tracing::warn!("{detail}");
            told = Some(why);
        }
        tokio::time::sleep(wait).await;
    }
}

/// One session with a camera, to its end.
async fn watch(url: &CameraUrl, publisher: &mut Publisher) -> (Condition, String) {
    let ended = async {
        let mut session = client::connect(url, Options::default()).await?;
        publisher.begin();
        loop {
            publisher.publish(&session.next().await?);
        }
    };
    let ended: Result<std::convert::Infallible, client::CameraError> = ended.await;
    match ended {
        Err(error) => (Condition::of_error(&error), error.to_string()),
        Ok(never) => match never {},
    }
}

/// A file, over and over; it ends only if it can't be played.
async fn play(path: &Path, publisher: &mut Publisher) -> (Condition, String) {
    match Clip::open(path) {
        Ok(clip) => {
            let mut playback = Playback::new(Arc::new(clip));
            publisher.begin();
            loop {
                publisher.publish(&playback.next().await);
            }
        }
        Err(error) => {
            let (place, why) = (path.display().to_string(), error.to_string());
            let why = if why.contains(&place) { why } else { format!("{place}: {why}") };
            (Condition::BadStream, format!("{why}; give an MP4 file with H.264 video"))
        }
    }
}
