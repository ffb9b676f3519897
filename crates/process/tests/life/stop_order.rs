//! Everything is stopped, in order.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Mutex,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use process::{BoxError, Exit, Group, Handle, State, System};

use super::{
    LIMIT, Test,
    subject::{Config, Manner, Subject, SubjectHandle},
};

pub const TESTS: &[Test] = &[
    ("stop_all_goes_by_what_needs_what", in_order),
    ("stop_all_at_the_end_of_the_program_too", at_the_end),
    ("stop_all_after_the_handles_were_dropped", dropped),
    ("stop_all_a_second_time_kills", in_a_hurry),
    ("stop_all_of_a_hundred_strangers_is_at_once", strangers),
    ("stop_all_is_not_hurried_by_the_end_of_the_program", unhurried),
];

pub const HEAVY: &[Test] = &[("stop_all_of_a_thousand_strangers", a_thousand)];

/// The argument that makes this program an application that is stopped: a system can be only once.
pub const APPLICATION: &str = "stop-order";

/// Says who is over, in order, and what the tests want to know beside.
pub fn application(system: &System) -> Result<(), BoxError> {
    let manner = std::env::args().nth(2).unwrap_or_default();
    let changes = system.changes();
    match manner.as_str() {
        "hurry" => return hurry(system),
        "slow" => return slow(system),
        "strangers" => return many(system, std::env::args().nth(3).ok_or("how many?")?.parse()?),
        _ => {}
    }
    let start = |name: &str, after: &[&Handle]| {
        let spawn = system.spawn::<Subject>(Config::default()).name(name);
        after.iter().fold(spawn, |spawn, other| spawn.after(other)).start()
    };
    let member = |group: &Group, name: &str, after: &Handle| {
        group.spawn::<Subject>(Config::default()).name(name).after(after).start()
    };
    let database = start("database", &[])?;
    let group = system.group("group").create();
    let both: [SubjectHandle; 2] = [member(&group, "first", &database)?, member(&group, "second", &database)?];
    let web = start("web", &[&database, &both[0]])?;
    // It takes a while to stop, and so must hold up whom it needs, and nobody else.
    let stranger = start("stranger", &[])?;
    web.spin(150).detach();
    if manner != "drop" {
        [&database, &both[0], &both[1], &web, &stranger].iter().for_each(|handle| handle.detach());
    }
    // The end of `app` is a stop of all as well; a thread tells of it as long as there is one.
    let telling = thread::spawn(move || {
        for change in changes {
            if change.state == State::Exited {
                println!("{}", change.name);
            }
            if change.name == "database" && change.state == State::Exited {
                return;
            }
        }
    });
    *TELLING.lock().map_err(|_| "tell of changes")? = Some(telling);
    if manner == "call" {
        system.stop_all(LIMIT);
        finish();
        println!("stopped");
    }
    Ok(())
}

static TELLING: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// Who was still being stopped when the application had nothing more to do.
static SLOW: Mutex<Option<SubjectHandle>> = Mutex::new(None);

/// Waits until the last change is told.
pub fn finish() {
    if let Some(slow) = &*SLOW.lock().unwrap() {
        println!("{:?}", slow.exit());
    }
    let telling = TELLING.lock().unwrap().take();
    telling.into_iter().for_each(|telling| telling.join().unwrap());
}

fn hurry(system: &System) -> Result<(), BoxError> {
    let stubborn = |name| {
        let config = Config { manner: Manner::IgnoresStop, file: None };
        system.spawn::<Subject>(config).name(name)
    };
    let first = stubborn("first").start()?;
    let second = stubborn("second").after(&first).start()?;
    let (patient, begin) = (system.clone(), Instant::now());
    let waiting = thread::spawn(move || patient.stop_all(Duration::from_secs(600)));
    super::wait_until("it is being stopped", || second.state() == State::Stopping);
    println!("{}", first.state().as_str());
    system.stop_all(Duration::ZERO);
    waiting.join().map_err(|_| "wait for a stop")?;
    println!("{:?} {:?} {}", first.exit(), second.exit(), begin.elapsed() < LIMIT);
    Ok(())
}

fn slow(system: &System) -> Result<(), BoxError> {
    let config = Config { manner: Manner::TakesASecondToStop, file: None };
    let subject = system.spawn::<Subject>(config).name("slow").start()?;
    let patient = system.clone();
    thread::spawn(move || patient.stop_all(LIMIT));
    super::wait_until("it is being stopped", || subject.state() == State::Stopping);
    *SLOW.lock().map_err(|_| "keep a handle")? = Some(subject);
    Ok(())
}

fn many(system: &System, count: usize) -> Result<(), BoxError> {
    let begin = |index| system.spawn::<Subject>(Config::default()).name(format!("s{index}")).begin();
    let starting = (0..count).map(begin).collect::<Result<Vec<_>, _>>()?;
    let subjects = starting.into_iter().map(process::Starting::wait).collect::<Result<Vec<SubjectHandle>, _>>()?;
    let begin = Instant::now();
    system.stop_all(LIMIT);
    println!("{} {}", subjects.iter().all(|subject| subject.exit().is_some()), begin.elapsed().as_millis());
    Ok(())
}

/// What the application says, line by line.
fn run(arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("/proc/self/exe");
    let mut application = command.arg(APPLICATION).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(application.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    assert!(application.wait().unwrap().success());
    lines
}

fn check(order: &[String]) {
    let place = |name: &str| order.iter().position(|told| told == name).unwrap_or(order.len());
    assert_eq!(place("web").max(place("stranger")), 1, "those that nobody needs go first: {order:?}");
    assert_eq!(place("stranger"), 0, "it waits for nobody: {order:?}");
    assert_eq!(order[2..5], ["second", "first", "database"], "a group in its own order, then what it needs");
}

fn in_order(_system: &System) {
    let lines = run(&["call"]);
    check(&lines);
    assert_eq!(lines[5..], ["stopped"]);
}

fn at_the_end(_system: &System) {
    let lines = run(&["end"]);
    check(&lines);
    assert_eq!(lines.len(), 5);
}

fn dropped(_system: &System) {
    let order = run(&["drop"]);
    let place = |name: &str| order.iter().position(|told| told == name).unwrap();
    assert!(place("web") < place("first") && place("first") < place("database"), "{order:?}");
    assert!(place("second") < place("database"), "{order:?}");
    assert_eq!(order.len(), 5);
}

fn in_a_hurry(_system: &System) {
    let lines = run(&["hurry"]);
    assert_eq!(lines[0], "ready", "the other needs it");
    assert!(lines[1].ends_with("true") && !lines[1].contains("None"), "{lines:?}");
}

fn unhurried(_system: &System) {
    assert_eq!(run(&["slow"]), [format!("{:?}", Some(Exit::Code(0)))]);
}

fn strangers(_system: &System) {
    stop_many("100");
}

fn a_thousand(_system: &System) {
    let took = stop_many("1000");
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

fn stop_many(count: &str) -> Duration {
    let lines = run(&["strangers", count]);
    let (all, milliseconds) = lines[0].split_once(' ').unwrap();
    assert_eq!(all, "true");
    println!("     ({count} stopped within {milliseconds} ms)");
    Duration::from_millis(milliseconds.parse().unwrap())
}
