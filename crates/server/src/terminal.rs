//! What a person at the terminal sees, and the two ways to say stop.

use std::{
    io::{IsTerminal, stderr},
    sync::mpsc,
    thread,
};

use graph::{Change, Graph, State};
use process::{BoxError, System};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use tracing_subscriber::EnvFilter;

/// Logs to standard error; `RUST_LOG` says how much.
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(ansi).with_target(false).init();
}

enum Happened {
    Change(Change),
    Signal(i32),
}

/// Runs a graph until SIGINT or SIGTERM, then stops it in order. A second signal ends everything at once.
pub fn supervise(system: &System, graph: Graph, greeting: &str) -> Result<(), BoxError> {
    let (sender, happened) = mpsc::channel();
    let (signal_sender, changes) = (sender.clone(), system.changes());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                // Children don't outlive us.
                std::process::exit(128 + signal);
            }
            let _ = signal_sender.send(Happened::Signal(signal));
        }
    })?;
    thread::Builder::new().name("changes".to_owned()).spawn(move || {
        for change in changes {
            show(&change);
            if sender.send(Happened::Change(change)).is_err() {
                return;
            }
        }
    })?;
    let mut runtime = graph.start(system)?;
    println!("{greeting}");
    for happened in happened {
        match happened {
            Happened::Change(change) => runtime.follow(&change),
            Happened::Signal(signal) => {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                println!("{name}: stopping");
                break;
            }
        }
    }
    runtime.stop();
    Ok(())
}

fn show(change: &Change) {
    let Change { name, state, pid, restarts, exit, delay } = change;
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    match state {
        State::Starting | State::Stopping => {}
        State::Ready if *restarts > 0 => println!("{name}: ready again{pid}, restart {restarts}"),
        State::Ready => println!("{name}: ready{pid}"),
        State::Restarting | State::Exited | State::Failed => {
            let how = exit.as_ref().map_or_else(|| "ended".to_owned(), |(exit, _)| exit.to_string());
            let lines = exit.iter().filter(|(exit, _)| !exit.is_success()).flat_map(|(_, lines)| lines);
            match (state, delay) {
                (State::Restarting, Some(delay)) => println!("{name}: {how}; back in {:.1} s", delay.as_secs_f32()),
                (State::Failed, _) => println!("{name}: {how}; given up, it failed too often"),
                _ => println!("{name}: stopped, {how}"),
            }
            lines.for_each(|line| println!("    {line}"));
        }
    }
}
