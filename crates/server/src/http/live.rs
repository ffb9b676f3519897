//! One viewer's connection.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{
    camera::{Camera, CameraState},
    stream::{Init, Item},
};

/// How soon a viewer learns of a camera's new state.
const STATE_EVERY: Duration = Duration::from_millis(200);
/// How often a viewer can set its clock.
const CLOCK_EVERY: Duration = Duration::from_millis(500);
/// A viewer that takes nothing for so long is gone, or might as well be.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// A browser answers pings by itself; one that doesn't has left without a word.
const PING_EVERY: Duration = Duration::from_secs(10);
const SILENT_FOR: Duration = Duration::from_secs(40);
/// So many items go out between two looks at everything else.
const BATCH: usize = 64;

/// Serves a viewer until it goes.
pub async fn serve(mut socket: WebSocket, camera: Arc<Camera>) {
    let _counted = camera.watched();
    let mut viewer = View { camera: camera.clone(), cursor: None, state: None, clock: None, timeline: None };
    let mut news = camera.news();
    let mut look = interval(STATE_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut pinged) = (Instant::now(), Instant::now());
    loop {
        let messages = viewer.messages();
        let idle = messages.is_empty();
        for message in messages {
            // A viewer that doesn't take it is waited for here and nowhere else.
            match timeout(SEND_WITHIN, socket.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
        if !idle && heard.elapsed() < SILENT_FOR {
            continue;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            _ = look.tick() => {
                if heard.elapsed() > SILENT_FOR {
                    return;
                }
                if pinged.elapsed() > PING_EVERY {
                    pinged = Instant::now();
                    if !matches!(timeout(SEND_WITHIN, socket.send(Message::Ping(Bytes::new()))).await, Ok(Ok(()))) {
                        return;
                    }
                }
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => heard = Instant::now(),
            },
        }
    }
}

struct View {
    camera: Arc<Camera>,
    cursor: Option<u64>,
    state: Option<CameraState>,
    clock: Option<Instant>,
    /// The timeline that it was told of.
    timeline: Option<Arc<Init>>,
}

impl View {
    /// What there is to send now.
    fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        let state = self.camera.state();
        if self.state.as_ref() != Some(&state) {
            messages.push(text(&json!({"type": "state", "state": state.state, "detail": state.detail})));
            self.state = Some(state);
        }
        let taken = self.camera.stream().take(&mut self.cursor, BATCH);
        if taken.missed > 0 {
            messages.push(text(&json!({"type": "dropped", "count": taken.missed})));
        }
        for item in taken.items {
            match item {
                // A viewer that jumped ahead is still on the same timeline.
                Item::Init(init) if self.timeline.as_ref().is_some_and(|known| Arc::ptr_eq(known, &init)) => {}
                Item::Init(init) => {
                    let (mime, width, height) = (&init.mime, init.width, init.height);
                    messages.push(text(&json!({"type": "init", "mime": mime, "width": width, "height": height})));
                    messages.push(Message::Binary(init.segment.clone()));
                    self.timeline = Some(init);
                    self.clock = None;
                }
                Item::Fragment { bytes, media_s, captured_ms } => {
                    messages.push(Message::Binary(bytes));
                    if self.clock.is_none_or(|clock| clock.elapsed() >= CLOCK_EVERY) {
                        self.clock = Some(Instant::now());
                        messages.push(clock(media_s, captured_ms));
                    }
                }
                Item::Result(message) => messages.push(Message::Text(message.as_ref().into())),
            }
        }
        messages
    }
}

fn clock(media_s: f64, captured_ms: f64) -> Message {
    // A clock set before 1970 is no worse than any other that is wrong.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0;
    text(&json!({"type": "clock", "media_s": media_s, "captured_unix_ms": captured_ms, "now_unix_ms": now}))
}

fn text(value: &serde_json::Value) -> Message {
    Message::Text(value.to_string().into())
}
