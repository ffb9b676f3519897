//! CPython's ways, measured by CPython itself in the same turns.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde::Deserialize;

use crate::{
    Outcome,
    contender::{Contender, Turn},
    cores::{Core, Placement},
    watch,
};

/// A running interpreter; it is killed when this value is dropped, and its children with it.
///
/// Each line of its standard input is a turn, `{"count": 500, "writer": 0, "reader": 1}`; each gets one line of answer,
/// `{"samples": [...], "cpu_ns": 1, "operations": 500}`.
#[derive(Debug)]
pub struct Python {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What the script says after a turn.
#[derive(Deserialize)]
struct Answer {
    samples: Vec<f64>,
    cpu_ns: u64,
    operations: u64,
}

impl Python {
    /// Starts the part of the script that has this name.
    ///
    /// # Errors
    ///
    /// If there is no `python3`.
    pub fn start(script: &str, part: &str) -> Outcome<Self> {
        watch::step("start python3");
        // What a thread keeps to, its children inherit.
        Core::ANY.pin()?;
        let mut child = Command::new("python3")
            .args(["-c", script, part])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("run python3: {error}"))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, answers) = pipes.ok_or("talk to python3: it has no pipes")?;
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }
}

impl Contender for Python {
    fn turn(&mut self, place: Placement, count: u32) -> Outcome<Turn> {
        let order = serde_json::json!({ "count": count, "writer": place.writer, "reader": place.reader });
        writeln!(self.orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let Answer { samples, cpu_ns, operations } = serde_json::from_str(&answer)
            .map_err(|error| format!("hear of python3, which said `{}`: {error}", answer.trim()))?;
        Ok(Turn { samples, cpu_ns, operations })
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
