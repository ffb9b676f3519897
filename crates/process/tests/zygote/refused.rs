//! Where there can be no zygote, children are started by exec, and the log says why.

use std::{
    collections::BTreeMap,
    process::{Command, ExitCode, Stdio},
    thread::JoinHandle,
};

use process::{BoxError, Program, System};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use super::{
    Test,
    seen::{is_copy, pid, start_somehow, zygotes},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("where_all_is_well_they_are_copies_and_the_supervisors_variables_stay_with_it", all_is_well),
    ("where_clone3_is_forbidden_it_is_exec", clone3_is_forbidden),
    ("where_main_starts_threads_it_is_exec", main_starts_threads),
    ("where_main_takes_for_ever_it_is_exec", main_takes_for_ever),
    ("where_main_does_not_come_to_it_it_is_exec", main_does_not_come_to_it),
];

/// The argument that makes this program say how its children came to be.
pub const REPORT: &str = "report";

/// The same, where `clone3` is forbidden.
pub const FORBIDDEN: &str = "forbidden";

/// The variable that says what `main` does in a zygote.
const MAIN: &str = "FRAMEWIRE_TEST_MAIN";

pub fn start_a_thread_if_told(argument: &str) -> Option<JoinHandle<()>> {
    let told = std::env::var(MAIN).ok().filter(|_| argument == "__zygote")?;
    match told.as_str() {
        "threads" => Some(std::thread::spawn(|| {
            loop {
                std::thread::park();
            }
        })),
        "for ever" => loop {
            std::thread::park();
        },
        _ => std::process::exit(3),
    }
}

pub fn report(system: &System) -> Result<(), BoxError> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let two = ["one", "two"].map(|name| start_somehow(system, name));
    let copies = two.each_ref().map(|one| is_copy(pid(one)));
    let hidden = two[1].surroundings("NOTIFY_SOCKET".to_owned()).wait()?.0;
    println!("copies: {copies:?}, works: {:?}, hidden: {hidden:?}", two[0].half(2).wait()?);
    println!("zygotes: {}", zygotes(std::process::id() as i32).len());
    Ok(())
}

/// As a container without `clone3` answers: that there is no such call. The C library then uses `clone`.
pub fn forbidden(program: Program) -> ExitCode {
    /// The number of `clone3`, which is the same on all architectures.
    const CLONE3: i64 = 435;

    let errno = SeccompAction::Errno(rustix::io::Errno::NOSYS.raw_os_error() as u32);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let rules = BTreeMap::from([(CLONE3, Vec::new())]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, architecture).unwrap();
    let filter: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&filter).unwrap();
    program.run(report)
}

/// What such a program says, and its log.
fn run(how: &str, main: Option<&str>) -> (String, String) {
    let mut command = Command::new("/proc/self/exe");
    command.arg(how).env("NOTIFY_SOCKET", "/no/such").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(main.map(|main| (MAIN, main)));
    let output = command.output().unwrap();
    let (out, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out} {log}");
    (out, log)
}

fn by_exec(how: &str, main: Option<&str>, why: &str) {
    let (out, log) = run(how, main);
    assert!(out.starts_with("copies: [false, false], works: 1, hidden: None\n"), "{out} {log}");
    assert_eq!(log.matches("children are started by exec").count(), 1, "{log}");
    assert!(log.contains(why), "{log}");
}

fn all_is_well(_system: &System) {
    wait_until("both are copies, and there is nothing to say", || {
        let expected = "copies: [true, true], works: 1, hidden: None\nzygotes: 1\n";
        run(REPORT, None) == (expected.to_owned(), String::new())
    });
}

fn clone3_is_forbidden(_system: &System) {
    by_exec(FORBIDDEN, None, "since a zygote can't be: copy a process: clone3: Function not implemented");
}

fn main_starts_threads(_system: &System) {
    by_exec(REPORT, Some("threads"), "only one with a single thread can be; start none before");
}

fn main_takes_for_ever(_system: &System) {
    by_exec(REPORT, Some("for ever"), "until the zygote is ready");
}

fn main_does_not_come_to_it(_system: &System) {
    by_exec(REPORT, Some("not at all"), "the zygote has ended");
}
