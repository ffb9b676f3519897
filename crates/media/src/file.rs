//! A file in place of a camera.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::AccessUnit;
use crate::mp4::{Clip, Looped};

/// Being later than this isn't made up for: the process was stopped, and a burst of old pictures helps nobody.
const MAX_LAG: Duration = Duration::from_secs(1);

/// Plays a clip at the pace of its own times, for ever, as a camera would send it.
#[derive(Debug)]
pub struct Playback {
    clip: Arc<Clip>,
    /// How many units were given out.
    given: u64,
    /// When the first round began, on the clock; later than it did if time was lost since.
    start: Option<Instant>,
}

impl Playback {
    /// Gets ready; the time of the clip begins with the first call of [`next`](Self::next).
    pub fn new(clip: Arc<Clip>) -> Self {
        Self { clip, given: 0, start: None }
    }

    /// Waits until the next picture is due, and returns it. `pts_ns` goes on rising from round to round; the first
    /// picture of each round after the first is a discontinuity.
    ///
    /// Cancel safe: a picture that wasn't returned is returned by the next call.
    pub async fn next(&mut self) -> AccessUnit {
        let next = Looped::nth_of(&self.clip, self.given).peek();
        let due = Duration::from_nanos(next.due_ns.unsigned_abs());
        let now = Instant::now();
        let start = self.start.get_or_insert(now);
        if now.saturating_duration_since(*start + due) > MAX_LAG {
            *start = now.checked_sub(due).unwrap_or(now);
        }
        sleep_until(*start + due).await;
        self.given += 1;
        next.unit
    }
}
