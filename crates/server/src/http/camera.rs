//! One camera, as viewers see it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use blocks::{Condition, Found};
use graph::{Frame, Info, Number, State, Text};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::{
    CameraEntry,
    processes::{Processes, Row},
    stream::Stream,
};

/// A camera's stream, its state, and who watches.
#[derive(Debug)]
pub struct Camera {
    entry: CameraEntry,
    processes: Arc<Processes>,
    /// The name of its own process.
    process: String,
    stream: Mutex<Stream>,
    /// The number of the stream's next item, for whoever waits for it.
    news: watch::Sender<u64>,
    viewers: AtomicUsize,
    /// Ring and number of the packet that came last.
    last: Mutex<Option<(u64, u64)>>,
}

/// A camera as `/api/cameras` shows it.
#[derive(Debug, Serialize)]
pub struct Shown {
    name: String,
    url: String,
    #[serde(flatten)]
    pub state: CameraState,
    width: Option<u64>,
    height: Option<u64>,
    codec: Option<String>,
    fps: f64,
    viewers: usize,
}

/// How a camera is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CameraState {
    pub state: &'static str,
    pub detail: Option<String>,
}

/// Somebody is watching; dropped when that ends.
#[derive(Debug)]
pub struct Viewer(Arc<Camera>);

impl Camera {
    pub fn new(entry: CameraEntry, processes: &Arc<Processes>) -> Self {
        let process = format!("{}.camera", entry.name);
        Self {
            entry,
            processes: processes.clone(),
            process,
            stream: Mutex::default(),
            news: watch::Sender::new(0),
            viewers: AtomicUsize::new(0),
            last: Mutex::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Its stream; held only for the moment.
    pub fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when there is something new in the stream.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Takes a packet from the camera's process.
    pub fn packet(&self, frame: &Frame) {
        let info = frame.info();
        let mut stream = self.stream();
        let captured_ms = info.wall_ns as f64 / 1e6;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (frame.epoch(), frame.sequence());
        let follows = last.replace(now).is_none_or(|last| last == (now.0, now.1 - 1) || last.0 != now.0);
        if !follows || info.has(Info::FLAG_DISCONTINUITY) {
            stream.lost();
        }
        drop(last);
        match stream.packet(frame.bytes(), info.pts_ns, info.has(Info::FLAG_KEYFRAME), captured_ms) {
            Ok(()) => {}
            Err(error) => tracing::warn!(camera = self.name(), "left a packet out of the live stream: {error}"),
        }
        self.tell(&stream);
    }

    /// Takes what an analyser found.
    pub fn found(&self, found: &Found, info: &Info) {
        let mut stream = self.stream();
        if let Some(media_s) = stream.media_s(info.pts_ns) {
            let message = json!({"type": "result", "source": found.block, "media_s": media_s, "boxes": found.boxes});
            stream.result(message.to_string().into());
            self.tell(&stream);
        }
    }

    fn tell(&self, stream: &Stream) {
        self.news.send_replace(stream.next());
    }

    /// Counts a viewer.
    pub fn watched(self: &Arc<Self>) -> Viewer {
        self.viewers.fetch_add(1, Ordering::Relaxed);
        Viewer(self.clone())
    }

    /// How it is now.
    pub fn state(&self) -> CameraState {
        let page = self.processes.page(&self.process);
        let running = page.filter(|page| page.get(Number::Pid) != 0);
        let condition = running.and_then(|page| Condition::from_number(page.get(Number::Condition)));
        let text = page.map(|page| page.text(Text::Detail)).filter(|text| !text.is_empty());
        match condition {
            Some(condition) => CameraState { state: condition.as_str(), detail: text },
            None => {
                let state = page.and_then(|page| State::from_number(page.get(Number::State)));
                let detail = match state {
                    Some(State::Failed | State::Exited) => "its process was given up: start framewire again",
                    _ => "its process is being started again",
                };
                CameraState { state: "down", detail: Some(detail.to_owned()) }
            }
        }
    }

    /// As `/api/cameras` shows it.
    pub fn shown(&self, rows: &[Row]) -> Shown {
        let page = self.processes.page(&self.process);
        let number = |number| page.map(|page| page.get(number)).filter(|value| *value > 0);
        let rate = rows.iter().find(|row| row.name == self.process).map_or(0.0, |row| row.frames_out_per_s);
        Shown {
            name: self.entry.name.clone(),
            url: self.entry.url.clone(),
            state: self.state(),
            width: number(Number::Width),
            height: number(Number::Height),
            codec: page.map(|page| page.text(Text::Codec)).filter(|codec| !codec.is_empty()),
            fps: rate,
            viewers: self.viewers.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
