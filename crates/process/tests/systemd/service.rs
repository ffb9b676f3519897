//! The service, in several scenarios.

use std::{
    fs::{self, File},
    io::{Write, stdout},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use process::{
    BoxError, Restart, State, System,
    systemd::{Journal, Service},
};
use shm::{
    arena::Arena,
    queue::{Queue, QueueOptions},
    wire::Passed,
};
use signal_hook::{
    consts::{SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH},
    iterator::Signals,
};
use tracing::{Event, Subscriber, field::Visit};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt, util::SubscriberInitExt};

use super::worker::{Config, Worker};

/// The argument that makes this program the service; a scenario and a folder follow.
pub const SERVICE: &str = "service";

/// How many items are put into the queue that is kept.
pub const ITEMS: u64 = 200;

pub fn run(system: &System) -> Result<(), BoxError> {
    let argument = |index| std::env::args().nth(index).ok_or("do anything: an argument is missing");
    let folder = PathBuf::from(argument(3)?);
    match argument(2)?.as_str() {
        "signs" => signs(system, &folder),
        "store" => store(system, &folder),
        "journal" => journal(system, &folder),
        "keeps" => keeps(system),
        "names" => names(system, &folder),
        "sockets" => sockets(system),
        other => Err(format!("play {other}: there is no such scenario").into()),
    }
}

fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Three workers; what happens to them is said by signals.
fn signs(system: &System, folder: &Path) -> Result<(), BoxError> {
    let errors = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(Stall(folder.join("go on"))).with(errors).init();
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH])?;
    let required = fs::read_to_string(folder.join("required")).unwrap_or_default();
    let service = Service::of(system).require(required.split_whitespace()).join()?;
    say(if service.is_managed() { "managed" } else { "alone" });
    let spawn = |name: &str, config| system.spawn::<Worker>(config).name(name).restart(Restart::always().at_most(1000));
    let (ready, broken) = (folder.join("c may be ready"), folder.join("c is broken"));
    let a = spawn("a", Config::default()).begin()?;
    let b = spawn("b", Config { drains: Some((500, folder.join("drained"))), ..Config::default() }).begin()?;
    let c = spawn("c", Config { waits_for: Some(ready), fails_with: Some(broken), ..Config::default() }).begin()?;
    service.started();
    let (a, b) = (a.wait()?, b.wait()?);
    // It holds up the supervisor, which calls it.
    let go_on = folder.join("go on");
    b.on_event(move |()| wait_for(&go_on));
    say(&format!("environment {}", a.environment().wait()?.join(" ")));
    let c = c.wait()?;
    say(&format!("c is {}", c.pid().wait()?));
    say(&format!("a is {}", a.pid().wait()?));
    for signal in signals.forever() {
        match signal {
            SIGHUP => {
                let reload = service.reloading();
                say("reloads");
                drop(reload);
            }
            SIGUSR1 => a.spin(600_000).detach(),
            SIGUSR2 => b.log("stall".to_owned()).detach(),
            SIGWINCH => b.speak().detach(),
            _ => break,
        }
    }
    service.stopping(Duration::from_secs(20));
    system.stop(&["a", "b", "c"], Duration::from_secs(10));
    say("all stopped");
    Ok(())
}

fn wait_for(file: &Path) {
    while !file.exists() {
        thread::yield_now();
    }
}

/// Holds up whoever logs "stall", until there is a file.
struct Stall(PathBuf);

impl<S: Subscriber> Layer<S> for Stall {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Look(bool);
        impl Visit for Look {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 |= format!("{value:?}").contains("stall");
            }
        }
        let mut look = Look(false);
        event.record(&mut look);
        if look.0 {
            say("the log hangs");
            wait_for(&self.0);
        }
    }
}

/// A queue that outlives all of its processes, again and again.
fn store(system: &System, folder: &Path) -> Result<(), BoxError> {
    let service = Service::of(system).join()?;
    let notes = folder.join("notes");
    let make = |descriptor_slots| -> Result<QueueOptions, BoxError> {
        Ok(QueueOptions { capacity: 300, max_deliveries: 0, descriptor_slots, ..QueueOptions::default() })
    };
    // Two queues, of which one is in the other one's arena: what they share is kept for both.
    let arena = Arena::create(make(0)?.bytes()? + make(5)?.bytes()?)?;
    let (jobs, files, is_first) = match (service.restore("jobs")?, service.restore("files")?) {
        (Some(jobs), Some(files)) => (jobs, files, false),
        (None, None) => {
            let jobs: Queue<u64> = Queue::create(&arena, make(0)?)?;
            let files: Queue<(u64, Passed)> = Queue::create(&arena, make(5)?)?;
            assert!(service.keep("jobs", &jobs)? && service.keep("files", &files)?);
            // Put after it is kept: it is the memory itself that is.
            (0..ITEMS).try_for_each(|item| jobs.put(item)).map_err(|error| error.to_string())?;
            for number in 0..5 {
                let path = folder.join(format!("file {number}"));
                fs::write(&path, format!("text {number}"))?;
                let file = Passed::new(File::open(&path)?);
                files.put((number, file)).map_err(|error| error.to_string())?;
            }
            service.keep("note", &"one")?;
            service.keep("note", &"two")?;
            service.keep("gone", &1)?;
            service.forget("gone")?;
            (jobs, files, true)
        }
        (jobs, files) => {
            return Err(format!("go on: of two values there is {:?}", (jobs.is_some(), files.is_some())).into());
        }
    };
    say(&format!("note {:?} gone {:?}", service.restore::<String>("note")?, service.restore::<u32>("gone")?));
    let spawn = |name: &str| system.spawn::<Worker>(Config::default()).name(name).start();
    if folder.join("finish").exists() {
        let worker = spawn("last")?;
        worker.finish(jobs.clone(), notes).wait()?;
        let mut read = worker.read_files(files.clone()).wait()?;
        read.sort();
        say(&format!("files {read:?}"));
        jobs.join()?;
        files.join()?;
        say("finished");
        return Ok(());
    }
    let (one, other, third) = (spawn("one")?, spawn("other")?, spawn("third")?);
    one.consume(jobs.clone(), 20, notes.clone()).detach();
    other.consume(jobs, 20, notes.clone()).detach();
    if is_first {
        third.hold_file(files, notes).detach();
    }
    service.started();
    loop {
        thread::park();
    }
}

/// Keeps a greater number, with a descriptor beside it, again and again.
fn keeps(system: &System) -> Result<(), BoxError> {
    let service = Service::of(system).join()?;
    let restored: Option<(u64, Passed)> = service.restore("value")?;
    say(&restored.as_ref().map_or("restored nothing".to_owned(), |(number, _)| format!("restored {number}")));
    let first = restored.map_or(1, |(number, _)| number + 1);
    for number in first.. {
        service.keep("value", &(number, Passed::new(File::open("/dev/null")?)))?;
    }
    Ok(())
}

/// Keeps something under each of these names.
fn names(system: &System, folder: &Path) -> Result<(), BoxError> {
    let service = Service::of(system).join()?;
    for name in fs::read_to_string(folder.join("names"))?.split_whitespace() {
        service.keep(name, &1)?;
    }
    Ok(())
}

/// Writes into a fake journal.
fn journal(system: &System, folder: &Path) -> Result<(), BoxError> {
    assert!(Journal::of_stderr().is_none(), "standard error is a pipe to the test");
    let journal = Journal::to(folder.join("journal"))?.identifier("tested");
    tracing_subscriber::registry().with(journal.clone()).init();
    let mut signals = Signals::new([SIGUSR1, SIGTERM])?;
    let worker = system.spawn::<Worker>(Config::default()).name("door.decoder").restart(Restart::always()).start()?;
    tracing::error!(camera = "door", "of the application");
    worker.log("first\nPRIORITY=0".to_owned()).wait()?;
    worker.print("printed".to_owned()).wait()?;
    // Larger than a datagram, but not than a message between processes.
    worker.log(format!("large {}", "x".repeat(1 << 20))).wait()?;
    worker.kill();
    while worker.restarts() == 0 || worker.state() != State::Ready {
        thread::yield_now();
    }
    worker.log("second".to_owned()).wait()?;
    say("logged");
    for signal in signals.forever() {
        if signal == SIGTERM {
            break;
        }
        // More than the journal's queue and ours together take, while nobody reads.
        for count in 0..3000 {
            worker.log(format!("flood {count}")).wait()?;
        }
        say("flooded");
    }
    journal.finish();
    Ok(())
}

/// Takes what it finds.
fn sockets(system: &System) -> Result<(), BoxError> {
    let mut signals = Signals::new([SIGTERM])?;
    let service = Service::of(system).join()?;
    let http = service.descriptors("http");
    let worker = system.spawn::<Worker>(Config::default()).start()?;
    let inodes = worker.inodes().wait()?;
    for socket in &http {
        let inode = rustix::fs::fstat(socket)?.st_ino;
        say(&format!("http {} {}", inode, if inodes.contains(&inode) { "leaked" } else { "kept" }));
    }
    say(&format!("again {}", service.descriptors("http").len()));
    service.keep_descriptor("plain", fs::File::open("/dev/null")?)?;
    let (plain, nothing) = (service.descriptors("plain").len(), service.descriptors("none").len());
    say(&format!("plain {plain} none {nothing}"));
    service.started();
    signals.forever().next();
    Ok(())
}
