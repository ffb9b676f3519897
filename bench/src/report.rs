//! What was measured, for people and for programs.

use std::fmt;

use framewire_bench::{
    Outcome,
    cores::Placement,
    machine::Machine,
    samples::{Samples, Summary},
};
use serde::Serialize;

use crate::{frame, wake};

/// A wake-up through the ring may cost so much of a raw one: the rest is a look at the ring and the session.
const WAKE_AIM: f64 = 1.3;

/// A picture's way through the ring may cost so much of touching its bytes and one raw wake-up.
const FRAME_AIM: f64 = 1.15;

/// All results of one run.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    depth: u32,
    places: Vec<Place>,
}

/// The results of one placement.
#[derive(Serialize)]
struct Place {
    placement: Placement,
    rows: Vec<Row>,
    parts: Vec<Part>,
}

/// A figure beside its limit.
#[derive(Serialize)]
struct Row {
    figure: &'static str,
    limit: &'static str,
    ours: Summary,
    raw_median_ns: i64,
    raw_p99_ns: i64,
    ratio: f64,
    aim: Option<f64>,
    met: Option<bool>,
}

/// Where the time of a hand-over goes: medians.
#[derive(Serialize)]
struct Part {
    way: &'static str,
    write_ns: i64,
    pass_ns: i64,
    read_ns: i64,
}

impl Report {
    pub fn new(depth: u32, measured: &[(Placement, wake::Measured, frame::Measured)]) -> Outcome<Self> {
        let places = measured.iter().map(|(placement, wakes, frames)| Place::new(*placement, wakes, frames));
        Ok(Self { machine: Machine::this()?, depth, places: places.collect() })
    }
}

impl Place {
    fn new(placement: Placement, wakes: &wake::Measured, frames: &frame::Measured) -> Self {
        let [wake, raw_wake] = [&wakes.ring, &wakes.raw].map(Samples::summary);
        let [frame, alone, threads] = [&frames.ring, &frames.alone, &frames.threads].map(|parts| parts.whole.summary());
        let both = Summary {
            median_ns: alone.median_ns + raw_wake.median_ns,
            p99_ns: alone.p99_ns + raw_wake.p99_ns,
            p999_ns: alone.p999_ns + raw_wake.p999_ns,
            count: alone.count,
        };
        let hand_over = "1080p RGB24, written to read";
        let rows = vec![
            Row::new("wake-up, one way", "eventfd, blocking read", wake, raw_wake, Some(WAKE_AIM)),
            Row::new(hand_over, "copy + sum in one thread + eventfd", frame, both, Some(FRAME_AIM)),
            Row::new(hand_over, "copy + sum in one thread", frame, alone, None),
            Row::new(hand_over, "two threads, plain memory, eventfd", frame, threads, None),
        ];
        let parts = [("the ring", &frames.ring), ("one thread", &frames.alone), ("two threads", &frames.threads)];
        let parts = parts.map(|(way, parts)| {
            let [write_ns, pass_ns, read_ns] =
                [&parts.write, &parts.pass, &parts.read].map(|samples| samples.summary().median_ns);
            Part { way, write_ns, pass_ns, read_ns }
        });
        Self { placement, rows, parts: parts.into() }
    }
}

impl Row {
    fn new(figure: &'static str, limit: &'static str, ours: Summary, raw: Summary, aim: Option<f64>) -> Self {
        let ratio = ours.median_ns as f64 / raw.median_ns.max(1) as f64;
        let met = aim.map(|aim| ratio <= aim);
        Self { figure, limit, ours, raw_median_ns: raw.median_ns, raw_p99_ns: raw.p99_ns, ratio, aim, met }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "ring of depth {}; times in µs; the ratio is of medians", self.depth)?;
        self.places.iter().try_for_each(|place| write!(f, "\n{place}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, limit) = (format!("--- {}", self.placement.name), "raw limit");
        writeln!(
            f,
            "{name:29} {:>8} {:>8}   {limit:35} {:>8} {:>8} {:>6} {:>5}  met",
            "median", "p99", "median", "p99", "ratio", "aim"
        )?;
        for row in &self.rows {
            let Row { figure, limit, ours, raw_median_ns, raw_p99_ns, ratio, aim, met } = row;
            let aim = aim.map_or_else(String::new, |aim| format!("{aim:.2}"));
            let met = met.map_or("", |met| if met { "yes" } else { "no" });
            let [median, p99, raw, raw_p99] = [ours.median_ns, ours.p99_ns, *raw_median_ns, *raw_p99_ns].map(us);
            writeln!(
                f,
                "{figure:29} {median:>8} {p99:>8}   {limit:35} {raw:>8} {raw_p99:>8} {ratio:>6.2} {aim:>5}  {met}"
            )?;
        }
        writeln!(f, "{:29} {:>8} {:>8} {:>8}", "where a picture's time goes", "write", "pass", "read")?;
        for Part { way, write_ns, pass_ns, read_ns } in &self.parts {
            let [write, pass, read] = [*write_ns, *pass_ns, *read_ns].map(us);
            writeln!(f, "  {way:27} {write:>8} {pass:>8} {read:>8}")?;
        }
        Ok(())
    }
}

fn us(nanoseconds: i64) -> String {
    format!("{:.1}", nanoseconds as f64 / 1000.0)
}
