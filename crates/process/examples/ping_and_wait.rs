//! Every way to wait for an answer, and for an end.
//!
//! `cargo run -p framewire-process --example ping_and_wait`

use std::{process::ExitCode, thread, time::Duration};

use process::{BoxError, CallError, Context, Exit, Process, Program, System, commands};

struct Slow;

impl Process for Slow {
    const KIND: &'static str = "slow";
    type Config = ();
    type Event = ();

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Slow {
    /// Takes its time, and looks whether anybody still wants to know.
    pub fn think(&mut self, milliseconds: u64, cx: &mut Context<Self>) -> u64 {
        for _ in 0..milliseconds {
            if cx.is_cancelled() {
                return 0;
            }
            thread::sleep(Duration::from_millis(1)); // sleep: it stands for work
        }
        milliseconds
    }
}

fn main() -> ExitCode {
    Program::new().process::<Slow>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let slow = system.spawn::<Slow>(()).start()?;
    println!("it took {} ms", slow.think(20).wait()?);
    match slow.think(60_000).wait_for(Duration::from_millis(20)) {
        Err(CallError::TimedOut { .. }) => println!("no answer within 20 ms, so it was cancelled"),
        other => println!("unexpected: {other:?}"),
    }
    // Async code awaits it, under any runtime: `slow.think(1).await`. Whoever doesn't want to know detaches.
    slow.think(1).detach();
    println!("it runs: {:?}", slow.join_for(Duration::ZERO));
    thread::scope(|scope| {
        let asking = scope.spawn(|| slow.think(60_000).wait());
        thread::sleep(Duration::from_millis(50)); // sleep: so that the question is on its way
        slow.kill();
        match asking.join() {
            Ok(Err(CallError::Died { how: Exit::Signal(9), .. })) => println!("it was killed, and the caller knows"),
            other => println!("unexpected: {other:?}"),
        }
    });
    println!("in the end: {}", slow.join());
    Ok(())
}
