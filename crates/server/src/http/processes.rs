//! The table of processes: from their status pages, and from what the kernel says of them.

use std::{
    collections::VecDeque,
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use graph::{BoxError, Number, State, StatusView, Text};
use serde::Serialize;
use shm::clock::monotonic_ns;

use super::ProcessEntry;

/// Rates are over about this long.
const OVER: Duration = Duration::from_secs(1);
/// Over less than this a rate says nothing.
const AT_LEAST: Duration = Duration::from_millis(200);

/// All processes, and what they had done at some moments before.
#[derive(Debug)]
pub struct Processes {
    all: Vec<(ProcessEntry, StatusView)>,
    past: Mutex<VecDeque<Sample>>,
}

/// A row of `/api/processes`.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    kind: String,
    camera: Option<String>,
    pid: Option<u64>,
    pub state: &'static str,
    detail: Option<String>,
    uptime_s: f64,
    restarts: u64,
    cpu_percent: f64,
    memory_bytes: u64,
    frames_in_per_s: f64,
    pub frames_out_per_s: f64,
    dropped: u64,
    last_exit: Option<String>,
    pub trouble: Option<String>,
}

#[derive(Clone, Debug)]
struct Sample {
    at: Instant,
    done: Vec<Done>,
}

/// What a process had done by a moment.
#[derive(Clone, Copy, Debug)]
struct Done {
    pid: u64,
    cpu_s: f64,
    frames_in: u64,
    frames_out: u64,
}

impl Processes {
    pub fn open(entries: Vec<ProcessEntry>) -> Result<Self, BoxError> {
        let open = |entry: ProcessEntry| StatusView::open(&entry.page).map(|page| (entry, page));
        let all = entries.into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { all, past: Mutex::default() })
    }

    /// The page of a process.
    pub fn page(&self, name: &str) -> Option<&StatusView> {
        self.all.iter().find(|(entry, _)| entry.name == name).map(|(_, page)| page)
    }

    /// The whole table. The first time after a pause it takes a moment, because a rate needs two looks.
    pub async fn rows(&self) -> Vec<Row> {
        let (mut now, mut before) = self.look();
        if before.is_none() {
            tokio::time::sleep(AT_LEAST).await;
            (now, before) = self.look();
        }
        let before = before.unwrap_or_else(|| now.clone());
        let rows = self.all.iter().zip(now.done.iter().zip(&before.done));
        rows.map(|((entry, page), (now_done, before_done))| {
            row(entry, page, now_done, before_done, now.at.duration_since(before.at))
        })
        .collect()
    }

    /// Looks, and gives also an earlier look that is long enough ago but not too long.
    fn look(&self) -> (Sample, Option<Sample>) {
        let sample = self.sample();
        let now = sample.at;
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.retain(|sample| now.duration_since(sample.at) <= 2 * OVER);
        // The one that is nearest to a second ago.
        let far = |sample: &&Sample| now.duration_since(sample.at).abs_diff(OVER);
        let found = past.iter().filter(|sample| now.duration_since(sample.at) >= AT_LEAST).min_by_key(far).cloned();
        if past.back().is_none_or(|last| now.duration_since(last.at) >= AT_LEAST / 2) {
            past.push_back(sample.clone());
        }
        (sample, found)
    }

    fn sample(&self) -> Sample {
        let done = |page: &StatusView| {
            let pid = page.get(Number::Pid);
            let (frames_in, frames_out) = (page.get(Number::FramesIn), page.get(Number::FramesOut));
            Done { pid, cpu_s: cpu_s(pid).unwrap_or(0.0), frames_in, frames_out }
        };
        Sample { at: Instant::now(), done: self.all.iter().map(|(_, page)| done(page)).collect() }
    }
}

fn row(entry: &ProcessEntry, page: &StatusView, now: &Done, before: &Done, over: Duration) -> Row {
    let pid = Some(now.pid).filter(|pid| *pid != 0);
    let over = over.as_secs_f64().max(AT_LEAST.as_secs_f64());
    let cpu_s = if now.pid == before.pid { now.cpu_s - before.cpu_s } else { now.cpu_s };
    let started_s = page.get(Number::StartedNs) as f64 / 1e9;
    let text = |text| Some(page.text(text)).filter(|text| !text.is_empty());
    let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / over;
    Row {
        name: entry.name.clone(),
        kind: entry.kind.clone(),
        camera: entry.camera.clone(),
        pid,
        // Listed, but not started yet: the server itself comes up first.
        state: State::from_number(page.get(Number::State)).unwrap_or(State::Starting).as_str(),
        detail: text(Text::Detail),
        uptime_s: pid.map_or(0.0, |_| (monotonic_ns() as f64 / 1e9 - started_s).max(0.0)),
        restarts: page.get(Number::Restarts),
        cpu_percent: (cpu_s.max(0.0) / over * 1000.0).round() / 10.0,
        memory_bytes: resident_bytes(now.pid).unwrap_or(0),
        frames_in_per_s: (per_s(now.frames_in, before.frames_in) * 10.0).round() / 10.0,
        frames_out_per_s: (per_s(now.frames_out, before.frames_out) * 10.0).round() / 10.0,
        dropped: page.get(Number::Dropped),
        last_exit: text(Text::LastExit),
        // That it is gone is more than what it had to say while it was there.
        trouble: text(Text::Failure).or_else(|| text(Text::Trouble)),
    }
}

/// Processor time of a process so far, in seconds: fields 14 and 15 of `/proc/PID/stat` (proc_pid_stat(5)).
fn cpu_s(pid: u64) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; the third field follows the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory, in bytes: the second field of `/proc/PID/statm`.
fn resident_bytes(pid: u64) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        let pid = u64::from(std::process::id());
        assert!(cpu_s(pid).is_some_and(|seconds| seconds >= 0.0));
        assert!(resident_bytes(pid).is_some_and(|bytes| bytes > 100_000));
        assert_eq!((cpu_s(0), resident_bytes(0)), (None, None));
    }
}
