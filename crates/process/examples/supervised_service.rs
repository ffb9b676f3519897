//! A service that is there again whatever happens to it, with a program that isn't ours beside it.
//!
//! `cargo run -p framewire-process --example supervised_service`

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use process::{BoxError, Context, DuringRestart, Process, Program, Restart, State, Strategy, System, commands};

struct Service {
    answered: u64,
}

impl Process for Service {
    const KIND: &'static str = "service";
    type Config = ();
    type Event = ();

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self { answered: 0 })
    }
}

#[commands]
impl Service {
    /// How many it has answered since it was started.
    pub fn answered(&mut self) -> u64 {
        self.answered += 1;
        self.answered
    }

    /// A bug.
    pub fn hang(&mut self) {
        loop {
            std::hint::spin_loop();
        }
    }
}

fn main() -> ExitCode {
    Program::new().process::<Service>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let changes = system.changes();
    // What comes later stands on what came before: if the first dies, both are started again, in order.
    let group = system.group("app").strategy(Strategy::RestForOne).at_most(3).within(Duration::from_secs(60)).create();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "echo listening; exec sleep 1000"]);
    let base = system.spawn_program(&shell).name("base").in_group(&group).restart(Restart::always());
    let base = base.ready_line("listening").start()?;
    let service = group.spawn::<Service>(()).restart(Restart::always());
    let service = service
        .responsive_within(Duration::from_millis(200)) // a bug is found
        .memory_limit(64 << 20) // and so is another
        .during_restart(DuringRestart::Wait) // callers needn't know
        .start()?;
    println!("answer {}", service.answered().wait()?);
    println!("the base is killed");
    base.kill();
    for change in &changes {
        println!("    {} is {}", change.name, change.state.as_str());
        if change.name == "service" && change.state == State::Ready && change.restarts == 1 {
            break;
        }
    }
    println!("answer {}, of a new one", service.answered().wait()?);
    println!("the service hangs");
    service.hang().detach();
    println!("answer {}, of the next one", service.answered().wait()?);
    for line in service.last_exit().map(|(_, lines)| lines).unwrap_or_default().iter().take(3) {
        println!("    its predecessor: {line}");
    }
    group.stop(Duration::from_secs(1)); // the service, then the base
    Ok(())
}
