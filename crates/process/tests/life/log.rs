//! The application's log: it may stand still, and nothing else does; and what was said last is in it.

use std::{
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use process::{BoxError, Exit, System};

use super::{
    LIMIT, Test,
    subject::{Config, Subject},
};

pub const TESTS: &[Test] = &[
    ("log_that_nobody_reads_holds_nobody_up", not_read),
    ("log_has_the_last_words_at_the_end_of_the_program", last_words),
];

/// The argument that makes this program an application that logs to its standard error.
pub const APPLICATION: &str = "logs";

/// More than a pipe and what may wait for it take.
const LINES: usize = 60_000;

pub fn application(system: &System) -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let spawn = |name| system.spawn::<Subject>(Config::default()).name(name).start();
    if std::env::args().nth(2).as_deref() == Some("last words") {
        let subject = spawn("dying")?;
        subject.leave(3).detach();
        println!("{:?}", subject.join());
        return Ok(());
    }
    let (loud, other, third) = (spawn("loud")?, spawn("other")?, spawn("third")?);
    // All of it went through the supervisor when this is answered.
    loud.print(LINES).wait_for(LIMIT)?;
    println!("{:?}", other.add(1).wait_for(LIMIT));
    let (stopped, is_stopped) = mpsc::channel();
    let stops = other.clone();
    thread::spawn(move || {
        stops.stop(LIMIT);
        stopped.send(())
    });
    println!("{}", is_stopped.recv_timeout(LIMIT * 2).is_ok());
    third.kill();
    println!("{:?}", third.join_for(LIMIT));
    Ok(())
}

fn run(manner: &str) -> Child {
    let mut command = Command::new("/proc/self/exe");
    command.args([APPLICATION, manner]).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What it wrote to its standard output; and how long it took until it ended.
fn read(application: &mut Child) -> (String, Duration) {
    let (begin, mut said) = (Instant::now(), String::new());
    application.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(application.wait().unwrap().success(), "{said}");
    (said, begin.elapsed())
}

fn not_read(_system: &System) {
    let mut application = run("not read");
    let (said, took) = read(&mut application);
    assert_eq!(said, format!("Ok(1)\ntrue\n{:?}\n", Some(Exit::Signal(9))));
    assert!(took < LIMIT, "{took:?}");
    let mut log = String::new();
    application.stderr.unwrap().read_to_string(&mut log).unwrap();
    let lines: Vec<usize> = log.lines().filter_map(|line| line.split("line ").nth(1)?.trim().parse().ok()).collect();
    assert!(
        lines.len() < LINES && lines.iter().copied().eq(0..lines.len()),
        "the first ones, in order: {}",
        lines.len()
    );
}

fn last_words(_system: &System) {
    let mut application = run("last words");
    let (said, _) = read(&mut application);
    let mut log = String::new();
    application.stderr.unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(said, "Code(3)\n");
    assert!(log.contains("going") && log.contains("dying"), "{log}");
}
