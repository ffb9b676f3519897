//! The smallest of all: a process, a command, and an answer.
//!
//! `cargo run -p framewire-process --example ping`

use std::process::ExitCode;

use process::{BoxError, Context, Process, Program, System, commands};

/// Answers.
struct Echo;

impl Process for Echo {
    const KIND: &'static str = "echo";
    type Config = ();
    type Event = ();

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Echo {
    /// Says where it is.
    pub fn ping(&mut self, word: String) -> String {
        format!("{word} from process {}", std::process::id())
    }
}

fn main() -> ExitCode {
    // This executable is both: the table says what it can become.
    Program::new().process::<Echo>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let echo = system.spawn::<Echo>(()).start()?;
    println!("{}, asked from process {}", echo.ping("pong".to_owned()).wait()?, std::process::id());
    Ok(()) // the handle goes, and the process with it
}
