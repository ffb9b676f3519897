//! Programs that aren't ours.

use std::{
    future::IntoFuture,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use process::{BoxError, CallError, DuringRestart, Exit, Limit, Restart, State, System};

use super::{
    LIMIT, Test,
    runner::is_gone,
    subject::{Config, Subject, SubjectHandle},
    wait_until,
};

pub const TESTS: &[Test] = &[
    ("a_program_runs_and_its_end_and_last_lines_are_known", a_program_runs),
    ("a_program_that_cannot_be_run_is_an_error", cannot_be_run),
    ("a_program_has_no_variable_that_it_was_not_given", cleared),
    ("a_program_is_started_again", started_again),
    ("a_program_is_ready_when_it_says_so", ready_line),
    ("a_program_takes_no_calls_and_says_so", takes_no_calls),
    ("a_program_is_terminated_then_killed", terminated_then_killed),
    ("a_program_takes_its_limits_and_none_of_our_descriptors", limits),
    ("a_program_has_the_usual_limit_of_descriptors_whoever_starts_it", usual_limit),
];

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

fn a_program_runs(system: &System) {
    let mut command = shell("echo $COLOUR; pwd; cat; echo bad >&2; exit 4");
    command.env("COLOUR", "red").current_dir("/");
    let program = system.spawn_program(&command).start().unwrap();
    assert_eq!((program.name(), program.join()), ("sh", Exit::Code(4)));
    let mut lines = program.last_exit().unwrap().1;
    lines.sort();
    assert_eq!(lines, ["/", "bad", "red"]);
}

fn cleared(system: &System) {
    let mut command = Command::new("/usr/bin/env");
    command.env("COLOUR", "red");
    let program = system.spawn_program(&command).name("f.cleared").env_clear().env("KEPT", "1");
    let program = program.start().unwrap();
    assert_eq!(
        (program.join(), program.last_exit().unwrap().1.join(" ")),
        (Exit::Code(0), "COLOUR=red KEPT=1".to_owned())
    );
    // Ours do have some.
    let subject =
        system.spawn::<Subject>(Config::default()).name("f.ours").env_clear().env("KEPT", "1").start().unwrap();
    let has = |name: &str| subject.surroundings(name.to_owned()).wait().unwrap().0;
    assert_eq!((has("KEPT"), std::env::var("PATH").is_ok(), has("PATH")), (Some("1".to_owned()), true, None));
}

fn cannot_be_run(system: &System) {
    let told = system.spawn_program(&Command::new("/no/such/program")).start().unwrap_err();
    assert!(told.to_string().starts_with("start program: failed: run /no/such/program: No such file"), "{told}");
}

fn started_again(system: &System) {
    let spawn = system.spawn_program(&shell("exec sleep 1000")).name("f.again").restart(Restart::on_failure());
    let program = spawn.start().unwrap();
    let first = program.process_id().unwrap();
    program.kill();
    wait_until("it is back", || program.restarts() == 1 && program.state() == State::Ready);
    assert_ne!(program.process_id(), Some(first));
    program.stop(LIMIT);
    assert_eq!(program.exit(), Some(Exit::Signal(15)));
}

fn ready_line(system: &System) {
    let begin = Instant::now();
    let script = "echo starting; sleep 0.2; echo now listening on 80; exec sleep 1000";
    let program = system.spawn_program(&shell(script)).name("f.ready").ready_line("listening").start().unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(200));
    program.stop(LIMIT);
    let never = system.spawn_program(&shell("exec sleep 1000")).name("f.never").ready_line("listening");
    let told = never.ready_within(Duration::from_millis(200)).start().unwrap_err();
    assert_eq!(told.exit, Some(Exit::NotReadyInTime));
}

fn terminated_then_killed(system: &System) {
    let script = "trap '' TERM; echo trapped; while :; do sleep 0.01; done";
    let program = system.spawn_program(&shell(script)).name("f.stubborn").ready_line("trapped").start().unwrap();
    program.stop(Duration::from_millis(100));
    assert_eq!(program.exit(), Some(Exit::Signal(9)));
}

/// How many descriptors a program may have open.
pub fn open_files(system: &System) -> Result<String, BoxError> {
    let program = system.spawn_program(&shell("ulimit -Sn")).name("f.files").start()?;
    let _ = program.join();
    Ok(program.last_exit().map(|(_, lines)| lines.join(" ")).unwrap_or_default())
}

/// The argument that makes this program one that was started with few descriptors, and has raised that.
pub const FEW: &str = "few";

pub fn few(system: &System) -> Result<(), BoxError> {
    let spawn = |name| system.spawn::<Subject>(Config::default()).name(name);
    let subject = spawn("f.raised").start()?;
    let own = spawn("f.own").limit(Limit::OpenFiles, 200).start()?;
    let of = |subject: &SubjectHandle| subject.programs_open_files().wait();
    println!("{} {} {}", open_files(system)?, of(&subject)??, of(&own)??);
    Ok(())
}

fn usual_limit(_system: &System) {
    let script = format!("ulimit -Sn 100; exec \"$0\" {FEW}");
    let mut application = Command::new("/bin/sh");
    let application = application.args(["-c", &script]).arg(std::env::current_exe().unwrap()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&application.stdout), "100 100 200\n", "{application:?}");
}

fn takes_no_calls(system: &System) {
    let command = shell("sleep 1000");
    let told = |told: Result<(), CallError>| {
        let told = told.unwrap_err();
        assert!(matches!(&told, CallError::TakesNoCalls { .. }) && told.to_string().contains("foreign"), "{told}");
    };
    for during in [DuringRestart::Fail, DuringRestart::Wait] {
        let program = system.spawn_program(&command).during_restart(during).start().unwrap();
        told(program.call(&1).wait_for(LIMIT));
        told(futures::executor::block_on(program.call(&1).into_future()));
        program.stop(LIMIT);
        told(program.call(&1).wait_for(LIMIT));
    }
}

fn limits(system: &System) {
    let script = "ulimit -n; ls /proc/self/fd | wc -l; sleep 1000 & echo $!; echo begun; exec sleep 1000";
    let spawn = system.spawn_program(&shell(script)).name("f.limits").limit(Limit::OpenFiles, 99).nice(3);
    let program = spawn.ready_line("begun").start().unwrap();
    let nice = rustix::process::getpriority_process(program.process_id().and_then(rustix::process::Pid::from_raw));
    assert_eq!(nice, Ok(3));
    program.stop(LIMIT);
    let lines = program.last_exit().unwrap().1;
    // What this test was itself started with and hands on isn't ours.
    let plainly = shell("ls /proc/self/fd | wc -l").stdin(Stdio::null()).output().unwrap().stdout;
    assert_eq!(lines[..2], ["99", String::from_utf8(plainly).unwrap().trim()]);
    wait_until("its child is gone too", || is_gone(lines[2].parse().unwrap()));
}
