//! What analysers find, as lines of JSON for whoever listens: programs, by WebSocket, and standard output.

use std::{fs::File, io, sync::Arc, thread, time::Duration};

use super::{
    audience::{Audience, Heard, Listener, Told},
    lines::Lines,
};
use axum::extract::ws::{Message, WebSocket};
use blocks::{Found, Motion, Region};
use bytes::Bytes;
use graph::{Block, Info};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};
use tokio::time::{Instant, interval, timeout};

/// As in `live.rs`: a listener that takes nothing for so long, or answers no ping, is gone.
const SEND_WITHIN: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(10);
const SILENT_FOR: Duration = Duration::from_secs(40);

/// Where findings are told. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Results(Audience);

/// Which of all findings a listener wants.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    pub camera: Option<String>,
    pub block: Option<String>,
}

/// A line, as `docs/api.md` has it.
#[derive(Serialize)]
struct Line<'a> {
    camera: &'a str,
    block: &'a str,
    sequence: u64,
    pts_ns: i64,
    captured_unix_ms: f64,
    width: u32,
    height: u32,
    boxes: &'a [Region],
    result: Option<Box<RawValue>>,
}

impl Results {
    /// Somebody who hears of what they want from now on.
    pub fn listen(&self, wanted: Wanted) -> Arc<Listener> {
        self.0.join(move |told| wanted.includes(told))
    }

    /// Tells all who listen.
    pub fn publish(&self, found: &Found, info: &Info) {
        if self.0.is_empty() {
            return;
        }
        match line(found, info) {
            Ok(line) => {
                self.0.tell(Told { camera: found.camera.clone(), block: found.block.clone(), line: line.into() });
            }
            Err(error) => tracing::warn!(block = found.block, "what it found is no JSON: {error}"),
        }
    }

    /// Writes findings as lines from now on, from a thread of its own: a file that takes none holds nobody up.
    ///
    /// # Errors
    ///
    /// If there can't be another thread.
    pub fn write(&self, to: File, analysers_only: bool) -> io::Result<()> {
        let listener = self.0.join(move |told| !analysers_only || told.block != Motion::KIND);
        let mut lines = Lines::new(to);
        thread::Builder::new().name("results".to_owned()).spawn(move || {
            loop {
                let written = match listener.wait() {
                    Heard::Told(told) => lines.put(&told.line),
                    Heard::Missed(count) => lines.put(&dropped(count)),
                };
                if let Err(error) = written {
                    // Whoever started all this sees it too, and ends it.
                    return tracing::info!("no more results are written: {error}");
                }
            }
        })?;
        Ok(())
    }
}

impl Wanted {
    fn includes(&self, told: &Told) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|wanted| wanted == is);
        fits(&self.camera, &told.camera) && fits(&self.block, &told.block)
    }
}

fn line(found: &Found, info: &Info) -> serde_json::Result<String> {
    // A line break in JSON stands between its parts, where a space is as good.
    let one_line = |text: &String| text.replace(['\n', '\r'], " ");
    let result = found.result.as_ref().map(one_line).map(RawValue::from_string).transpose()?;
    let line = Line {
        camera: &found.camera,
        block: &found.block,
        sequence: found.sequence,
        pts_ns: info.pts_ns,
        captured_unix_ms: info.wall_ns as f64 / 1e6,
        width: info.width,
        height: info.height,
        boxes: &found.boxes,
        result,
    };
    serde_json::to_string(&line)
}

fn dropped(count: u64) -> String {
    json!({"dropped": count}).to_string()
}

/// Tells one listener until it goes.
pub async fn serve(mut socket: WebSocket, listener: Arc<Listener>) {
    let (mut heard, mut ping) = (Instant::now(), interval(PING_EVERY));
    loop {
        let message = tokio::select! {
            heard = listener.hear() => match heard {
                Heard::Told(told) => Message::Text(told.line.clone()),
                Heard::Missed(count) => Message::Text(dropped(count).into()),
            },
            _ = ping.tick() => {
                if heard.elapsed() > SILENT_FOR {
                    return;
                }
                Message::Ping(Bytes::new())
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    heard = Instant::now();
                    continue;
                }
            },
        };
        if !matches!(timeout(SEND_WITHIN, socket.send(message)).await, Ok(Ok(()))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;

    fn found(block: &str, result: Option<&str>) -> Found {
        let result = result.map(str::to_owned);
        Found { camera: "door".into(), block: block.into(), sequence: 7, boxes: Vec::new(), result }
    }

    #[test]
    fn a_finding_is_one_line_with_the_result_as_it_was_said() {
        let info = Info { pts_ns: 5, wall_ns: 1_500_000, width: 4, height: 2, ..Info::default() };
        let line = |result| line(&found("people", result), &info);
        assert_eq!(
            line(Some("{\"a\":\n 1.50}")).unwrap(),
            r#"{"camera":"door","block":"people","sequence":7,"pts_ns":5,"captured_unix_ms":1.5,"width":4,"height":2,"boxes":[],"result":{"a":  1.50}}"#
        );
        assert!(line(None).unwrap().ends_with(r#""result":null}"#));
        assert!(line(Some("{")).is_err(), "not JSON");
    }

    #[test]
    fn lines_are_written_for_analysers_and_a_reader_that_has_gone_is_no_trouble() {
        let (reader, writer) = std::io::pipe().unwrap();
        let results = Results::default();
        results.write(std::os::fd::OwnedFd::from(writer).into(), true).unwrap();
        results.publish(&found("motion", None), &Info::default());
        results.publish(&found("people", Some("1")), &Info::default());
        let mut line = String::new();
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut line).unwrap();
        assert!(line.contains(r#""block":"people""#), "{line}");
        drop(reader);
        while !results.0.is_empty() {
            results.publish(&found("people", Some("1")), &Info::default());
        }
    }

    #[test]
    fn a_listener_gets_what_it_wants() {
        let told = |camera: &str, block: &str| Told { camera: camera.into(), block: block.into(), line: "".into() };
        let wanted = Wanted { camera: Some("door".into()), block: None };
        assert!(wanted.includes(&told("door", "people")) && !wanted.includes(&told("yard", "people")));
        let wanted = Wanted { camera: None, block: Some("people".into()) };
        assert!(wanted.includes(&told("yard", "people")) && !wanted.includes(&told("yard", "motion")));
    }
}
