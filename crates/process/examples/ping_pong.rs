//! There and back with more than a word: structured arguments and results, the handler's own errors, what it says unasked,
//! and what becomes of a panic.
//!
//! `cargo run -p framewire-process --example ping_pong`

use std::{process::ExitCode, time::Duration};

use process::{BoxError, CallError, Context, Process, Program, System, commands};
use serde::{Deserialize, Serialize};

/// What goes there: any type of serde's.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ball {
    speed: f32,
    spin: Option<String>,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
pub struct Return {
    ball: Ball,
    rally: u32,
}

struct Player {
    rally: u32,
}

impl Process for Player {
    const KIND: &'static str = "player";
    /// What it is started with; it could hold files and sockets, too.
    type Config = u32;
    /// What it says unasked.
    type Event = String;

    fn start(first: u32, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self { rally: first })
    }
}

#[commands]
impl Player {
    /// Returns the ball, or says why it can't. The `Context` doesn't travel: it is the player's own.
    pub fn hit(&mut self, ball: Ball, cx: &mut Context<Self>) -> Result<Return, String> {
        if ball.speed > 30.0 {
            cx.emit(&format!("too fast at {} m/s", ball.speed));
            return Err("missed".to_owned());
        }
        self.rally += 1;
        Ok(Return { ball: Ball { speed: ball.speed * 1.5, spin: Some("top".to_owned()) }, rally: self.rally })
    }

    /// A bug.
    pub fn smash(&mut self) {
        panic!("the racket is broken");
    }
}

fn main() -> ExitCode {
    Program::new().process::<Player>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let player = system.spawn::<Player>(0).start()?;
    let remarks = player.events::<String>();
    let mut ball = Ball { speed: 10.0, spin: None };
    // The outer `?`: it answered. The inner one: what it said.
    loop {
        match player.hit(ball).wait()? {
            Ok(Return { ball: back, rally }) => {
                println!("{rally}: back at {} m/s", back.speed);
                ball = back;
            }
            Err(why) => break println!("the player says: {why}"),
        }
    }
    if let Some(remark) = remarks.next_for(Duration::from_secs(5))? {
        println!("and unasked: {remark}");
    }
    // A panic is the error of that call. The process lives, with all that it knows.
    if let Err(CallError::HandlerFailed { why, .. }) = player.smash().wait() {
        println!("{why}");
    }
    let next = player.hit(Ball { speed: 1.0, spin: None }).wait()??;
    println!("{}: it goes on", next.rally);
    Ok(())
}
