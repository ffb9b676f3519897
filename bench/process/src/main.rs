//! Framewire's processes beside what the kernel can do at best and beside CPython's `multiprocessing`, measured in one run in
//! turns, so that whatever else the machine does strikes all alike. This program is its own children: as processes of the
//! library, and as raw ones that know nothing of it.

#![forbid(unsafe_code)]

mod crowd;
mod python;
mod raw;
mod rows;
mod subject;

use std::process::ExitCode;

use bench::{Outcome, machine::Machine, watch};
use clap::Parser;
use process::{Program, System};

use self::rows::Effort;

/// Measures processes beside their raw limits and their peers.
#[derive(Parser)]
#[command(name = "cargo xtask bench process")]
struct Options {
    /// Prints a line of JSON for each row, and nothing else.
    #[arg(long)]
    json: bool,
    /// Measures less: a few seconds a row, and less certain.
    #[arg(long)]
    quick: bool,
    /// Only the rows whose names contain this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

fn main() -> ExitCode {
    if let Some(role) = raw::role() {
        return raw::play(role);
    }
    Program::new().process::<subject::Subject>().run(|system| {
        // The errors of a measurement aren't `Send`, since a peer's may not be; their texts are.
        measure(system, &Options::parse()).map_err(|error| error.to_string().into())
    })
}

fn measure(system: &System, options: &Options) -> Outcome {
    watch::begin(|| {});
    let effort = if options.quick { Effort::quick() } else { Effort::whole() };
    if !options.json {
        println!("{}", Machine::this()?);
        println!("medians and tails of all turns; a ratio is of medians, ours to theirs");
    }
    for (name, row) in rows::ROWS {
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let row = row(system, &effort).map_err(|error| format!("measure {name}: could not {error}"))?;
        if options.json {
            println!("{}", serde_json::to_string(&row.told())?);
        } else {
            println!("\n{row}");
        }
    }
    Ok(())
}
