//! A pool that looks for prime numbers, with a progress bar, while a worker is killed under it.
//!
//! `cargo run --release -p framewire-process --example pool [PARTS]`

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use process::{BoxError, Context, Process, Program, System, commands, pool::Workers};
use rustix::process::{Pid, Signal, kill_process};

/// Knows how to divide.
struct Divider;

impl Process for Divider {
    const KIND: &'static str = "divider";
    type Config = ();
    type Event = ();

    fn start(_config: (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Divider {
    /// How many primes there are from `first` to before `end`.
    pub fn primes(&mut self, first: u64, end: u64) -> usize {
        let is_prime = |number: &u64| {
            *number > 1 && (2..).take_while(|by| by * by <= *number).all(|by| !number.is_multiple_of(by))
        };
        (first..end).filter(is_prime).count()
    }
}

fn main() -> ExitCode {
    Program::new().process::<Divider>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    const STEP: u64 = 20_000;
    let parts = std::env::args().nth(1).map_or(Ok(400), |parts| parts.parse())?;
    // Finding primes twice does no harm, so a task whose worker dies is simply done again.
    let pool = system.pool::<Divider>(Workers::one_per_cpu().redeliver(3), |_| ())?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:50} {pos}/{len} {msg}")?);
    let mut victim = pool.workers().first().and_then(|worker| Pid::from_raw(worker.pid?));
    let run = pool.progress(|progress| {
        bar.set_length(progress.total.unwrap_or(progress.read));
        bar.set_position(progress.done);
        if progress.done > parts / 4
            && let Some(victim) = victim.take()
        {
            bar.set_message("(a worker was killed)");
            let _ = kill_process(victim, Signal::KILL);
        }
    });
    let mut primes = 0;
    for found in run.map((0..parts).map(|part| part * STEP), |worker, first| worker.primes(first, first + STEP))? {
        primes += found?;
    }
    bar.finish();
    println!("{primes} primes below {}", parts * STEP);
    Ok(())
}
