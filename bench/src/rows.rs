//! What was measured beside others, for people and for programs.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::contender::{Measured, Part};

/// One row: a question, and its answers in one or several places.
#[derive(Debug)]
pub struct Row {
    /// Its name, for programs too.
    pub name: &'static str,
    /// What is measured, in a line.
    pub what: &'static str,
    /// In what it is measured.
    pub unit: Unit,
    /// The first is the one that programs are told, and the aims are about.
    pub tables: Vec<Table>,
    /// What ours shall keep to.
    pub aims: Vec<Aim>,
    /// What one must know to read the figures.
    pub notes: Vec<String>,
}

/// A row for programs: medians of its first table. Who isn't there is in `peers` with the reason.
#[derive(Debug, Serialize)]
pub struct Told {
    name: &'static str,
    unit: &'static str,
    ours: Value,
    limit: Value,
    #[serde(serialize_with = "in_order")]
    peers: Vec<(&'static str, Value)>,
}

/// How a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// For one operation.
    Nanoseconds,
    /// For all of them.
    Milliseconds,
    /// More is better.
    ItemsASecond,
    /// Of all threads.
    WakeUpsASecond,
    /// Of memory.
    Kibibytes,
}

/// The answers in one place.
#[derive(Debug)]
pub struct Table {
    /// Where that is.
    pub place: String,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: &'static str,
    part: Part,
    figures: Result<Figures, String>,
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    median: f64,
    p99: f64,
    p999: f64,
    /// What both sides worked for one operation, in nanoseconds.
    cpu_ns: Option<f64>,
}

/// What ours shall keep to.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    /// At most so many times what this entrant takes.
    MostTimes(f64, &'static str),
    /// At least so many times what this entrant does.
    LeastTimes(f64, &'static str),
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::ItemsASecond => "items/s",
            Self::WakeUpsASecond => "wake-ups/s",
            Self::Kibibytes => "KiB",
        }
    }
}

impl Table {
    /// What all entrants did in that place.
    #[must_use]
    pub fn new(place: &str, unit: Unit, measured: Vec<Measured>) -> Self {
        let lines = measured.into_iter().map(|one| Line {
            name: one.name,
            part: one.part,
            figures: one.turns.map(|turns| {
                let cpu_ns = (turns.cpu_ns > 0).then(|| turns.cpu_ns as f64 / turns.operations.max(1) as f64);
                Figures::of(turns.samples, unit, cpu_ns)
            }),
        });
        Self { place: place.to_owned(), lines: lines.collect() }
    }

    fn median(&self, is: impl Fn(&Line) -> bool) -> Option<f64> {
        self.lines.iter().find(|line| is(line))?.figures.as_ref().ok().map(|figures| figures.median)
    }

    fn ours(&self) -> Option<f64> {
        self.median(|line| line.part == Part::Ours)
    }
}

impl Figures {
    fn of(mut samples: Vec<f64>, unit: Unit, cpu_ns: Option<f64>) -> Self {
        // From best to worst: the tail is the bad end.
        samples.sort_unstable_by(f64::total_cmp);
        if unit == Unit::ItemsASecond {
            samples.reverse();
        }
        let at = |part: usize, of: usize| samples.get(samples.len() * part / of).copied().unwrap_or(f64::NAN);
        Self { median: at(1, 2), p99: at(99, 100), p999: at(999, 1000), cpu_ns }
    }
}

impl Aim {
    /// What is asked, what came of it, and whether that is enough; `None` if the other side is missing.
    fn check(self, table: &Table) -> Option<(String, f64, bool)> {
        let ours = table.ours()?;
        let ratio = |other: &str| Some(ours / table.median(|line| line.name == other)?);
        Some(match self {
            Self::MostTimes(most, other) => {
                let ratio = ratio(other)?;
                (format!("at most {most} of {other}"), ratio, ratio <= most)
            }
            Self::LeastTimes(least, other) => {
                let ratio = ratio(other)?;
                (format!("at least {least} times {other}"), ratio, ratio >= least)
            }
            Self::Most(most) => (format!("at most {}", number(most)), ours, ours <= most),
            Self::Least(least) => (format!("at least {}", number(least)), ours, ours >= least),
        })
    }

    fn other(self) -> Option<&'static str> {
        match self {
            Self::MostTimes(_, other) | Self::LeastTimes(_, other) => Some(other),
            Self::Most(_) | Self::Least(_) => None,
        }
    }
}

impl Row {
    /// For programs.
    #[must_use]
    pub fn told(&self) -> Told {
        let lines = self.tables.first().map(|table| table.lines.as_slice()).unwrap_or_default();
        let value = |line: &Line| match &line.figures {
            Ok(figures) => json!(round(figures.median)),
            Err(why) => json!(why),
        };
        let of = |part| lines.iter().find(|line| line.part == part).map_or(Value::Null, value);
        let peers = lines.iter().filter(|line| line.part == Part::Peer);
        let peers = peers.map(|line| (line.name, value(line))).collect();
        Told { name: self.name, unit: self.unit.name(), ours: of(Part::Ours), limit: of(Part::Limit), peers }
    }
}

fn in_order<S: Serializer>(peers: &[(&'static str, Value)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(peers.iter().map(|(name, value)| (name, value)))
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "=== {}: {}", self.name, self.what)?;
        for table in &self.tables {
            writeln!(
                f,
                "{:34} {:>12} {:>12} {:>12} {:>12} {:>8}",
                format!("--- {}, {}", table.place, self.unit.name()),
                "median",
                "p99",
                "p99.9",
                "CPU ns/op",
                "ours ×"
            )?;
            for line in &table.lines {
                line.write(f, table.ours())?;
            }
            for aim in &self.aims {
                match aim.check(table) {
                    Some((what, value, met)) => {
                        let met = if met { "met" } else { "MISSED" };
                        writeln!(f, "  aim: {what}: {} {met}", number(value))?;
                    }
                    None => writeln!(f, "  aim: can't be told without {}", aim.other().unwrap_or("ours"))?,
                }
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

impl Line {
    fn write(&self, f: &mut fmt::Formatter<'_>, ours: Option<f64>) -> fmt::Result {
        let part = match self.part {
            Part::Ours => "ours: ",
            Part::Limit => "limit:",
            Part::Peer => "peer: ",
        };
        write!(f, "{part} {:27} ", self.name)?;
        let figures = match &self.figures {
            Ok(figures) => figures,
            Err(why) => return writeln!(f, "not measured: {why}"),
        };
        let [median, p99, p999] = [figures.median, figures.p99, figures.p999].map(number);
        let cpu = figures.cpu_ns.map(number).unwrap_or_default();
        let ratio = ours.filter(|_| self.part != Part::Ours && figures.median > 0.0);
        let ratio = ratio.map(|ours| format!("{:.3}", ours / figures.median)).unwrap_or_default();
        writeln!(f, "{median:>12} {p99:>12} {p999:>12} {cpu:>12} {ratio:>8}")
    }
}

/// Three digits are what a measurement is worth; large numbers are whole.
fn number(value: f64) -> String {
    if value.abs() >= 100.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contender::Turn;

    fn measured(name: &'static str, part: Part, samples: &[f64]) -> Measured {
        Measured { name, part, turns: Ok(Turn { samples: samples.to_vec(), ..Turn::default() }) }
    }

    fn row() -> Row {
        let missing = Measured { name: "peer", part: Part::Peer, turns: Err("it isn't there".to_owned()) };
        let lines = vec![measured("us", Part::Ours, &[3.0, 1.0, 2.0]), measured("raw", Part::Limit, &[1.0]), missing];
        Row {
            name: "some-row",
            what: "nothing",
            unit: Unit::Nanoseconds,
            tables: vec![Table::new("here", Unit::Nanoseconds, lines)],
            aims: vec![Aim::MostTimes(1.5, "raw"), Aim::Most(2.0), Aim::MostTimes(1.0, "peer")],
            notes: Vec::new(),
        }
    }

    #[test]
    fn programs_get_medians_and_the_reason_for_what_is_missing() {
        let line = serde_json::to_string(&row().told()).unwrap();
        let expected = r#"{"name":"some-row","unit":"ns","ours":2.0,"limit":1.0,"peers":{"peer":"it isn't there"}}"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn people_are_told_which_aims_are_met() {
        let told = row().to_string();
        assert!(told.contains("at most 1.5 of raw: 2.00 MISSED"), "{told}");
        assert!(told.contains("at most 2.00: 2.00 met"), "{told}");
        assert!(told.contains("can't be told without peer") && told.contains("not measured: it isn't there"), "{told}");
    }

    #[test]
    fn the_tail_is_the_bad_end() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(Figures::of(samples.clone(), Unit::Nanoseconds, None).p99, 100.0);
        assert_eq!(Figures::of(samples, Unit::ItemsASecond, None).p99, 1.0);
    }
}
