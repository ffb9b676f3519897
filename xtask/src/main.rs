//! The project's own chores, as `cargo xtask …`.

#![forbid(unsafe_code)]

mod program;
mod python;
mod target;
mod temporary;
mod test;
mod tidy;
mod tree;

use std::{env, error::Error, process::ExitCode};

/// A chore ends well, or says what was tried, why it failed, and what to do.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const USAGE: &str = "\
cargo xtask test [STEP…]     everything that must hold, or only the named steps; sets up what they need
cargo xtask test --list      the steps
cargo xtask tidy             what the compiler doesn't check: edges between crates, licences, links, …
cargo xtask bench [OPTION…]  the benchmarks, in release; `cargo xtask bench --help` names their options
cargo xtask bench shm [OPTION…]
                             shared memory beside its raw limits and its peers (iceoryx2, ipc-channel, CPython, …)
cargo xtask wheel            builds the Python package, program and all, and says where it is
cargo xtask bench process [OPTION…]
                             processes beside their raw limits and their peers (CPython)
cargo xtask soak [OPTION…]   kills processes around shared memory, and looks for what that broke: `--minutes 10`
";

fn main() -> ExitCode {
    match chore() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn chore() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, rest)) if chore == "test" => test::run(rest),
        Some((chore, [])) if chore == "tidy" => tidy::run(),
        Some((chore, rest)) if chore == "bench" => bench(rest),
        Some((chore, [])) if chore == "wheel" => {
            let _claim = target::claim()?;
            println!("{}", python::Environment::prepare()?.wheel()?.display());
            Ok(())
        }
        Some((chore, rest)) if chore == "soak" => {
            let _claim = target::claim()?;
            // It looks there for what was left behind, and what other programs of ours have there meanwhile is theirs.
            let _temporary = temporary::Folder::create()?;
            program::run(program::cargo(&["run", "--release", "--package", "framewire-soak", "--"]).args(rest))
        }
        Some((chore, [])) if matches!(chore.as_str(), "help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("`cargo xtask {}` is no chore; there are:\n{USAGE}", arguments.join(" ")).into()),
    }
}

fn bench(arguments: &[String]) -> Outcome {
    let claim = target::claim()?;
    match arguments.split_first() {
        Some((which, rest)) if which == "shm" => {
            // A workspace of its own, so that nothing else is built with its peers.
            const MANIFEST: &str = "bench/shm/Cargo.toml";
            claim.also("framewire-bench-shm", MANIFEST)?;
            program::run(program::cargo(&["run", "--release", "--manifest-path", MANIFEST, "--"]).args(rest))
        }
        Some((which, rest)) if which == "process" => {
            program::run(program::cargo(&["run", "--release", "--package", "framewire-bench-process", "--"]).args(rest))
        }
        _ => program::run(program::cargo(&["run", "--release", "--package", "framewire-bench", "--"]).args(arguments)),
    }
}
