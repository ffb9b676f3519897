//! What a ring costs beside what the machine itself costs, measured in one run in turns, so that whatever else the
//! machine does strikes both alike. Two real processes: this one writes; it starts itself again as the reader.

#![forbid(unsafe_code)]

mod frame;
mod peer;
mod report;
mod rings;
mod wake;

use std::{error::Error, fs::File, path::PathBuf, process::ExitCode};

use clap::Parser;
use framewire_bench::{Outcome, cores::Placement};

use self::{
    peer::{Order, Peer},
    report::Report,
};

/// Measures the hand-over from process to process beside its raw limits.
#[derive(Parser)]
#[command(name = "framewire-bench")]
struct Options {
    /// How often all measurements are taken in turn.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Wake-ups there and back in each round, for each kind and place.
    #[arg(long, default_value_t = 500)]
    wakes: u32,
    /// Frames in each round, for each kind and place.
    #[arg(long, default_value_t = 30)]
    frames: u32,
    /// How many frames the ring keeps readable; each is as much more memory to go round in, for the raw limit, too.
    #[arg(long, default_value_t = 1)]
    depth: u32,
    /// Lets the scheduler choose cores; otherwise everything is measured on one core and on two.
    #[arg(long)]
    unpinned: bool,
    /// Writes the results here, too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Not for people: this is the other process, and its orders come by standard input.
    #[arg(long, hide = true)]
    peer: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match if options.peer { peer::serve() } else { measure(&options) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: could not {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Outcome {
    let placements = if options.unpinned { Placement::any() } else { Placement::pinned()? };
    let mut peer = Peer::start(options.depth)?;
    let mut measured = Vec::new();
    for placement in placements {
        measured.push((placement, wake::Measured::default(), frame::Measured::new(placement.reader, options.depth)?));
    }
    for _ in 0..options.rounds {
        for (placement, wakes, frames) in &mut measured {
            placement.writer.pin()?;
            peer.order(Order::Pin(placement.reader))?;
            wakes.round(&mut peer, options.wakes)?;
            frames.round(&mut peer, options.frames)?;
        }
    }
    let report = Report::new(options.depth, &measured)?;
    print!("{report}");
    if let Some(path) = &options.json {
        let failed = |error: &dyn Error| format!("write {}: {error}", path.display());
        let file = File::create(path).map_err(|error| failed(&error))?;
        serde_json::to_writer_pretty(file, &report).map_err(|error| failed(&error))?;
    }
    Ok(())
}
