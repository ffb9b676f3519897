//! Framewire's shared memory beside what the machine can do at best and beside its peers, measured in one run in
//! turns, so that whatever else the machine does strikes all alike. Two real processes: this one writes; it starts
//! itself again as the reader.

mod peer;
mod python;
mod raw;
mod rows;
mod ways;

use std::process::ExitCode;

// What all such benchmarks have.
use bench::{Outcome, contender, machine::Machine, rows as report, watch};
use clap::Parser;

use self::{rows::Effort, ways::iceoryx};

/// Measures shared memory beside its raw limits and its peers.
#[derive(Parser)]
#[command(name = "cargo xtask bench shm")]
struct Options {
    /// Prints a line of JSON for each row, and nothing else.
    #[arg(long)]
    json: bool,
    /// Measures a tenth: under 20 seconds, and less certain.
    #[arg(long)]
    quick: bool,
    /// Only the rows whose names contain this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Not for people: this is another process of that process's benchmark, and its orders come by standard input.
    #[arg(long, hide = true, value_name = "PROCESS")]
    peer: Option<u32>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.peer.map_or_else(|| measure(&options), peer::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: could not {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Outcome {
    watch::begin(|| drop(iceoryx::Files::of_this_run()));
    let _left_behind = iceoryx::Files::of_this_run();
    let effort = if options.quick { Effort::quick() } else { Effort::whole() };
    if !options.json {
        println!("{}", Machine::this()?);
        println!("medians and tails of all turns; a ratio is of medians, ours to theirs");
    }
    for (name, row) in rows::ROWS {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let row = row(&effort).map_err(|error| format!("measure {name}: could not {error}"))?;
        if options.json {
            println!("{}", serde_json::to_string(&row.told())?);
        } else {
            println!("\n{row}");
        }
    }
    Ok(())
}
