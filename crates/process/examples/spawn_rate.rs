//! How fast children are ready, by exec and by zygote, beside what the kernel alone takes; and how much memory an idle one
//! has of its own.
//!
//! `cargo run --release --example spawn_rate [CHILDREN]`

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use process::{BoxError, Context, Handle, Launcher, Process, Program, System, commands};

/// Does nothing.
struct Idle;

impl Process for Idle {
    const KIND: &'static str = "idle";
    type Config = ();
    type Event = ();
    fn start(_config: (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Idle {
    /// Says that it is there.
    pub fn ping(&mut self) {}
}

/// What makes this program end at once: the least that `posix_spawn` of it can take.
const NOTHING: &str = "nothing";

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(NOTHING) {
        return ExitCode::SUCCESS;
    }
    Program::new().process::<Idle>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let count = std::env::args().nth(1).map_or(Ok(1000), |count| count.parse())?;
    let before = worked(&[])?;
    let raw = raw(count)?;
    let work = milliseconds(worked(&[])?.saturating_sub(before));
    println!("{count} by posix_spawn alone, ended: {:.0} ms ({work:.0} ms of work)", milliseconds(raw));
    for launcher in [Launcher::Exec, Launcher::Zygote] {
        // The first one starts the zygote.
        system.spawn::<Idle>(()).name("first").launcher(launcher).start()?.stop(Duration::from_secs(5));
        let (before, begin) = (worked(&[])?, Instant::now());
        let begun = |index| system.spawn::<Idle>(()).name(format!("idle{index}")).launcher(launcher).begin();
        let starting = (0..count).map(begun).collect::<Result<Vec<_>, _>>()?;
        let idle = starting.into_iter().map(|starting| starting.wait()).collect::<Result<Vec<_>, _>>()?;
        let ready = begin.elapsed();
        let private = idle.iter().filter_map(|idle| private_kib(idle)).sum::<u64>() / count.max(1);
        let (work, ready) = (milliseconds(worked(&idle)?.saturating_sub(before)), milliseconds(ready));
        println!(
            "{count} by {launcher:?}, ready: {ready:.0} ms ({work:.0} ms of work); each has {private} KiB of its own"
        );
        let begin = Instant::now();
        idle.iter().for_each(|idle| idle.kill());
        idle.iter().for_each(|idle| drop(idle.join()));
        println!("   killed and joined: {:.0} ms", milliseconds(begin.elapsed()));
    }
    Ok(())
}

/// As many processes of this program that end at once, two at a time, since that is how many processors there may be.
fn raw(count: u64) -> Result<Duration, BoxError> {
    let begin = Instant::now();
    let mut before = None;
    for _ in 0..count {
        let next = Command::new("/proc/self/exe").arg(NOTHING).stdin(Stdio::null()).spawn()?;
        if let Some(mut before) = before.replace(next) {
            before.wait()?;
        }
    }
    before.map(|mut last| last.wait()).transpose()?;
    Ok(begin.elapsed())
}

/// What it shares with nobody, in KiB.
fn private_kib(handle: &Handle) -> Option<u64> {
    let map = fs::read_to_string(format!("/proc/{}/smaps_rollup", handle.process_id()?)).ok()?;
    let lines = map.lines().filter(|line| line.starts_with("Private_"));
    Some(lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum())
}

/// How long processors have worked for us, for these and for the zygote: what stays the same on a machine that others use.
fn worked(children: &[IdleHandle]) -> Result<Duration, BoxError> {
    // What ended children have taken is in fields 16 and 17, in hundredths of a second.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let ended = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
    let ended = ended.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10_000_000;
    let own = std::process::id();
    let theirs = children.iter().filter_map(|child| child.process_id()?.try_into().ok());
    // Children by thread: those of the supervisor that we don't know are its zygote.
    let threads = fs::read_dir("/proc/self/task")?.flatten();
    let all = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok()).collect::<String>();
    let all = all.split_whitespace().filter_map(|pid| pid.parse().ok());
    let zygotes =
        all.filter(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "zygote\n"));
    let of = |pid: u32| -> u64 {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let worked = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
        worked.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
    };
    Ok(Duration::from_nanos(ended + std::iter::once(own).chain(theirs).chain(zygotes).map(of).sum::<u64>()))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
