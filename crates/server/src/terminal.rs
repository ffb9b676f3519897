//! What a person at the terminal sees, and the two ways to say stop.

use std::{
    io::{IsTerminal, stderr, stdout},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use graph::{Change, Graph, Heard, State};
use process::{
    BoxError, Replacement, System,
    systemd::{Journal, Service},
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{analysers::Analysers, printer::Printer};

/// Logs to standard error; `RUST_LOG` says how much. If that is systemd's journal, then straight to it, with fields.
pub fn log(printer: &Printer) -> Option<Journal> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let journal = Journal::of_stderr().map(|journal| journal.identifier("framewire"));
    if let Some(journal) = &journal {
        tracing_subscriber::registry().with(filter).with(journal.clone()).init();
    } else {
        let (ansi, printer) = (stderr().is_terminal(), printer.clone());
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_target(false);
        // The supervisor logs too, and it must neither wait for a terminal nor die of one that is gone.
        log.log_internal_errors(false).with_writer(move || printer.to_stderr()).init();
    }
    journal
}

/// How long a stop may take, for systemd: all levels of a graph that hangs, and then some.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How long processes have to stop that were still being started.
const AT_START: Duration = Duration::from_millis(500);

enum Happened {
    Change(Change),
    Heard(Heard),
    /// The file of this process.
    Saved(String, PathBuf),
    Signal(i32),
    /// Nobody reads standard output any more, where the results go.
    Unread,
}

/// Something to run, and what to say of it.
pub struct Show {
    /// What is run.
    pub graph: Graph,
    /// Those in it that are followed by their files.
    pub analysers: Analysers,
    /// Said when all runs.
    pub greeting: String,
    /// Results go to standard output: when nobody reads it any more, that is the end.
    pub json: bool,
}

/// Runs a graph until SIGINT or SIGTERM, then stops it in order. A second signal ends everything at once.
pub fn supervise(system: &System, service: &Service, show: Show, printer: &Printer) -> Result<(), BoxError> {
    let Show { graph, analysers, greeting, json } = show;
    let (sender, happened) = mpsc::channel();
    let (to_signals, to_changes, changes) = (sender.clone(), sender.clone(), system.changes());
    let (started, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (has_started, was_asked, stopped) = (started.clone(), asked.clone(), system.clone());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 {
                // Children don't outlive us.
                std::process::exit(128 + signal);
            }
            was_asked.store(true, Ordering::Release);
            let _ = to_signals.send(Happened::Signal(signal));
            if !has_started.load(Ordering::Acquire) {
                // Whoever starts processes waits for one of them; this ends that wait.
                let stopped = stopped.clone();
                let _ = thread::Builder::new().spawn(move || stopped.stop_all(AT_START));
            }
        }
    })?;
    let prints_changes = printer.clone();
    thread::Builder::new().name("changes".to_owned()).spawn(move || {
        for change in changes {
            print(&change, &prints_changes);
            if to_changes.send(Happened::Change(change)).is_err() {
                return;
            }
        }
    })?;
    let to_saves = sender.clone();
    analysers.when_saved(move |process, file| {
        let _ = to_saves.send(Happened::Saved(process, file));
    })?;
    if json {
        let to_unread = sender.clone();
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            wait_until_nobody_reads();
            let _ = to_unread.send(Happened::Unread);
        })?;
    }
    let hear = move |heard| {
        let _ = sender.send(Happened::Heard(heard));
    };
    let mut runtime = match graph.start(system, hear) {
        Ok(runtime) => runtime,
        Err(_) if asked.load(Ordering::Acquire) => {
            printer.say("stopped before everything had started");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    started.store(true, Ordering::Release);
    service.started();
    printer.say(&greeting);
    loop {
        // An hour, because a limit there must be.
        let limit =
            runtime.due().map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(Instant::now()));
        match happened.recv_timeout(limit) {
            Ok(Happened::Change(change)) => {
                analysers.follow(&change);
                runtime.follow(&change);
            }
            Ok(Happened::Heard(heard)) => runtime.hear(heard),
            Ok(Happened::Saved(process, file)) => {
                let file = file.file_name().unwrap_or_default().display();
                printer.say(&format!("{process}: {file} was saved; starting it anew"));
                runtime.renew(&process);
            }
            Ok(Happened::Unread) => {
                printer.say("nobody reads the results any more: stopping");
                break;
            }
            Ok(Happened::Signal(signal)) => {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
                printer.say(&format!("{name}: stopping"));
                break;
            }
            Err(RecvTimeoutError::Timeout) => runtime.on_time(),
            Err(RecvTimeoutError::Disconnected) => return Err("go on: nobody tells of processes any more".into()),
        }
    }
    service.stopping(STOP_WITHIN.saturating_add(analysers.stop_within));
    runtime.stop();
    Ok(())
}

/// Waits until whoever read standard output is gone. That of a file or a terminal never is.
fn wait_until_nobody_reads() {
    let stdout = stdout();
    loop {
        // It tells of an error or a hang-up also if nothing is asked for.
        let mut looked = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut looked, None) {
            Ok(_) if looked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => return,
            Ok(_) | Err(Errno::INTR) => {}
            // It can't be looked at, so it can't be known.
            Err(_) => loop {
                thread::park();
            },
        }
    }
}

fn print(change: &Change, printer: &Printer) {
    let Change { name, state, pid, restarts, exit, delay, replacement, .. } = change;
    let pid = pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    match replacement {
        None => {}
        Some(Replacement::TookOver) => return printer.say(&format!("{name}: replaced as planned{pid}")),
        Some(Replacement::NotReady(why)) => {
            return printer.say(&format!("{name}: goes on, since its planned replacement isn't ready: {why}"));
        }
        Some(_) if *state == State::Ready => return,
        Some(_) => {}
    }
    let how = exit.as_ref().map_or_else(|| "ended".to_owned(), |(exit, _)| exit.to_string());
    match (state, delay) {
        (State::Starting | State::Stopping, _) => return,
        (State::Ready, _) if *restarts > 0 => printer.say(&format!("{name}: ready again{pid}, restart {restarts}")),
        (State::Ready, _) => printer.say(&format!("{name}: ready{pid}")),
        (State::Restarting, Some(delay)) => {
            printer.say(&format!("{name}: {how}; back in {:.1} s", delay.as_secs_f32()));
        }
        (State::Failed, _) if *restarts == 0 => printer.say(&format!("{name}: could not be started: {how}")),
        (State::Failed, _) => printer.say(&format!("{name}: {how}; given up, it failed too often")),
        _ => printer.say(&format!("{name}: stopped, {how}")),
    }
    let lines = exit.iter().filter(|(exit, _)| !exit.is_success()).flat_map(|(_, lines)| lines);
    lines.for_each(|line| printer.say(&format!("    {line}")));
}
