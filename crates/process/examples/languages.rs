//! Two languages, one wire: this program asks a process that is written in Python, and is itself one that Python can start.
//!
//! `cargo run -p framewire-process --example languages -- MODULE:CLASS` with a class such as
//!
//! ```python
//! class Words(framewire.Process):
//!     def start(self, language): self.language = language
//!
//!     @framewire.command
//!     def count(self, text): return len(text.split())
//! ```
//!
//! The interpreter is `python3`, or what `FRAMEWIRE_PYTHON` names. From Python, the other way round:
//! `framewire.spawn_program("target/debug/examples/languages", kind="adder", config={"first": 40})`.

use std::{collections::HashMap, process::ExitCode, time::Duration};

use process::{BoxError, Context, Executable, Process, Program, System, commands};
use serde::{Deserialize, Serialize};

/// Adds up.
struct Adder(u64);

#[derive(Serialize, Deserialize)]
struct First {
    first: u64,
}

impl Process for Adder {
    const KIND: &'static str = "adder";
    type Config = First;
    type Event = HashMap<String, u64>;

    fn start(config: First, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self(config.first))
    }
}

#[commands]
impl Adder {
    /// Adds, tells everybody, and says what that makes.
    pub fn add(&mut self, more: u64, cx: &mut Context<Self>) -> u64 {
        self.0 += more;
        cx.emit(&HashMap::from([("sum".to_owned(), self.0)]));
        self.0
    }

    /// A half, if there is one.
    pub fn half(&self) -> Result<u64, String> {
        if self.0.is_multiple_of(2) { Ok(self.0 / 2) } else { Err(format!("{} is odd", self.0)) }
    }

    /// So many bytes.
    pub fn bytes(&self, count: usize) -> Vec<u8> {
        vec![7; count]
    }

    /// Doesn't work.
    pub fn fail(&self) {
        panic!("on purpose");
    }
}

/// The Python class as Rust sees it: its configuration, its events, and the signatures of its commands, whose bodies are
/// elsewhere.
struct Words;

#[derive(Serialize, Deserialize)]
struct Language {
    language: String,
}

impl Process for Words {
    const KIND: &'static str = "python";
    type Config = Language;
    type Event = String;

    fn start(_: Language, _: &mut Context<Self>) -> Result<Self, BoxError> {
        Err("be it here: it is written in Python".into())
    }
}

#[commands]
impl Words {
    /// How many there are.
    pub fn count(&self, text: String) -> u64 {
        unreachable!("{text}")
    }

    /// Doesn't work.
    pub fn fail(&self, why: String) {
        unreachable!("{why}")
    }
}

fn main() -> ExitCode {
    Program::new().process::<Adder>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let class = std::env::args().nth(1).ok_or("begin: name a Python class, as module:Class")?;
    let python = std::env::var_os("FRAMEWIRE_PYTHON").unwrap_or_else(|| "python3".into());
    let python = Executable::new(python).args(["-m", "framewire.worker", &class]);
    let config = Language { language: "English".to_owned() };
    let words = system.spawn::<Words>(config).name("words").executable(python).start()?;
    println!("words: {}", words.count("a word or two".to_owned()).wait()?);
    match words.fail("no dictionary".to_owned()).wait() {
        Err(error) => println!("error: {error}"),
        Ok(()) => println!("no error"),
    }
    let event = words.events::<String>().next_for(Duration::from_secs(10))?;
    println!("event: {}", event.unwrap_or_default());
    words.stop(Duration::from_secs(5));
    println!("end: {}", words.join());
    Ok(())
}
