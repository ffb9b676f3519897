//! Kills processes around shared memory, at random instants and at every step of the protocols, for as long as you like,
//! and looks for what that broke: torn frames, lost tasks, stuck waiters, memory and descriptors that don't come back,
//! names left behind.
//!
//! `cargo xtask soak --minutes 10`

#![forbid(unsafe_code)]

mod chance;
mod child;
mod crowd;
mod locks;
mod meetings;
mod queue;
mod ring;
mod wait;
mod world;

use std::{
    error::Error,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;

use self::{chance::Chance, child::Role, world::World};

/// Longer than any death may hold up anybody, on a machine that has other things to do.
const STALL: Duration = Duration::from_secs(2);

/// A failure, saying what was tried.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Kills processes around shared memory, and looks for what that broke.
#[derive(Parser)]
#[command(name = "framewire-soak")]
struct Options {
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Goes on, however long it takes, until so many processes were killed.
    #[arg(long, default_value_t = 0)]
    kills: u64,
    /// What the chances begin with, to repeat a run (as far as the scheduler does).
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Not for people: this is another process, which does its part.
    #[arg(long, hide = true)]
    role: Option<Role>,
}

/// What one round came to.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    killed: u64,
    /// Frames, items, turns: what was done meanwhile.
    done: u64,
    /// The longest that somebody was held up by a death.
    longest_stall: Duration,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.role {
        Some(role) => child::play(role),
        None => soak(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: could not {error}");
            ExitCode::FAILURE
        }
    }
}

/// Rounds of all that there is, each with processes and memory of its own, until the time is over.
fn soak(options: &Options) -> Outcome {
    type Round = fn(&mut Chance, Duration) -> Outcome<Tally>;
    let rounds: [(&str, Round); 5] = [
        ("readers of a ring", ring::readers_die),
        ("writers of a ring", ring::writers_die),
        ("members of a queue", queue::members_die),
        ("holders of locks", locks::holders_die),
        ("parties that meet", meetings::parties_die),
    ];
    let mut chance = Chance::new(options.seed);
    let mut totals = [Tally::default(); 5];
    // Some rounds of each, also in a short run: what is left over shows only between rounds.
    let length = Duration::from_secs_f64((options.minutes * 60.0 / 16.0).clamp(0.2, 4.0));
    // What the first round leaves for good (buffers of the standard library, say) isn't a leak.
    for (_, round) in rounds {
        round(&mut chance, length)?;
    }
    // Nor does it count, however long it took.
    let (before, begun) = (World::now()?, Instant::now());
    while begun.elapsed().as_secs_f64() < options.minutes * 60.0
        || totals.iter().map(|tally| tally.killed).sum::<u64>() < options.kills
        || totals.iter().any(|tally| tally.killed == 0)
    {
        for ((what, round), total) in rounds.iter().zip(&mut totals) {
            total.add(round(&mut chance, length).map_err(|error| format!("get through a round of {what}: {error}"))?);
            before.is_as_before().map_err(|error| format!("find all as before after {what}: {error}"))?;
        }
    }
    for ((what, _), Tally { killed, done, longest_stall }) in rounds.iter().zip(totals) {
        println!("{what:20} {killed:>7} killed, {done:>10} done, longest stall {longest_stall:.1?}");
    }
    println!("no torn frame, no loss, nobody stuck; descriptors, memory and names as before ({before})");
    Ok(())
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.killed += other.killed;
        self.done += other.done;
        self.longest_stall = self.longest_stall.max(other.longest_stall);
    }
}
