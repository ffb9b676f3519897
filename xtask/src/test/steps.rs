//! What is tested, cheapest first.

use std::{env, process::Command};

use super::machine::Need;
use crate::{
    Outcome,
    program::{cargo, git, output, program, run, succeeds},
    python::Environment,
    target, tidy,
};

/// One step of the test.
pub struct Step {
    pub name: &'static str,
    pub what: &'static str,
    /// What must be on the machine.
    pub needs: &'static [Need],
    pub run: fn() -> Outcome,
}

/// In the order in which they run: seconds before minutes, and `e2e`, which needs all the rest to be right, last.
pub const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the code is formatted", needs: &[Need::Rustfmt], run: fmt },
    Step {
        name: "tidy",
        what: "edges between crates, licences, links and the rules of the tree",
        needs: &[],
        run: tidy::run,
    },
    Step {
        name: "web",
        what: "the browser page: types, tests, and dist/ is what its source gives",
        needs: &[Need::NodeModules],
        run: web,
    },
    Step { name: "clippy", what: "no warning in any target", needs: &[Need::Clippy], run: clippy },
    Step { name: "unit", what: "all tests that need nothing but Rust", needs: &[], run: unit },
    Step {
        name: "loom",
        what: "the protocols in shared memory under every interleaving, and broken on purpose",
        needs: &[],
        run: loom,
    },
    Step { name: "miri", what: "the slot protocol over plain memory, watched by Miri", needs: &[], run: miri },
    Step {
        name: "faults",
        what: "each system call of a ring's life fails in turn",
        needs: &[Need::Strace],
        run: faults,
    },
    Step {
        name: "foreign",
        what: "media against FFmpeg and GStreamer",
        needs: &[Need::Ffmpeg, Need::GStreamer],
        run: foreign,
    },
    Step {
        name: "python",
        what: "the wheel in a fresh environment: format, lint, types, tests",
        needs: &[Need::Python],
        run: python,
    },
    Step { name: "doc", what: "the documentation builds without a warning", needs: &[], run: doc },
    Step {
        name: "e2e",
        what: "the released program, with cameras, analysers in Python and a browser",
        needs: &[Need::Chromium, Need::Ffmpeg, Need::GStreamer, Need::NodeModules, Need::Python],
        run: e2e,
    },
];

fn fmt() -> Outcome {
    run(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> Outcome {
    run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

fn unit() -> Outcome {
    run(&mut quiet(cargo(&["test", "--workspace"])))
}

fn loom() -> Outcome {
    // In release: there are millions of interleavings.
    let shm = |rest: &[&str]| quiet(cargo(&[&["test", "--release", "--package", "framewire-shm"], rest].concat()));
    run(&mut shm(&["--features", "loom", "--lib", "loom"]))?;
    // And with the protocol broken on purpose, over real processes: that test must see torn frames.
    run(&mut shm(&["--features", "control-no-scan", "--test", "kill"]))
}

fn miri() -> Outcome {
    // By rustup: the cargo that runs us is of one toolchain, and knows no other.
    let nightly = |rest: &[&str]| {
        let mut cargo = program("rustup", ".", &[&["run", "nightly", "cargo", "miri"], rest].concat());
        cargo.env("MIRIFLAGS", "-Zmiri-many-seeds=0..4");
        if let Some(target) = target::folder() {
            cargo.env("CARGO_TARGET_DIR", target);
        }
        quiet(cargo)
    };
    if !succeeds(&mut nightly(&["setup"])) {
        println!("Skipped: no nightly toolchain with Miri; add it by");
        println!("    rustup toolchain install nightly --profile minimal --component miri --component rust-src");
        return Ok(());
    }
    let twin = ["test", "--package", "framewire-shm", "--lib", "twin"];
    run(&mut nightly(&twin))?;
    // And with the protocol broken on purpose: Miri must see it.
    let broken = nightly(&[&twin[..], &["--features", "control-no-scan"]].concat()).output()?;
    if broken.status.success() || !String::from_utf8_lossy(&broken.stderr).contains("Undefined Behavior: Data race") {
        return Err("without the scan of the hazard words Miri must see a data race, and doesn't".into());
    }
    Ok(())
}

fn faults() -> Outcome {
    run(&mut quiet(cargo(&["test", "--package", "framewire-shm", "--test", "faults", "--", "--ignored"])))
}

fn foreign() -> Outcome {
    run(&mut quiet(cargo(&["test", "--package", "framewire-media", "--", "--ignored"])))
}

fn web() -> Outcome {
    for script in ["check", "test", "build"] {
        run(&mut program("npm", "web", &["run", "--silent", script]))?;
    }
    let new = output(&mut git(&["ls-files", "--others", "--exclude-standard", "--", "web/dist"]))?;
    run(&mut git(&["diff", "--exit-code", "--stat", "--", "web/dist"]))
        .and_then(|()| if new.is_empty() { Ok(()) } else { Err(format!("not in git: {}", new.trim()).into()) })
        .map_err(|error| {
            format!("web/dist isn't what the source gives; it is now, so commit it with the source ({error})").into()
        })
}

fn python() -> Outcome {
    let environment = Environment::prepare()?;
    for tool in [&["ruff", "format", "--check", "."][..], &["ruff", "check", "."]] {
        run(&mut environment.python(&[&["-m"], tool].concat()))?;
    }
    environment.install()?;
    run(&mut environment.python(&["-m", "mypy"]))?;
    // Programs in Rust that Python starts, and that start Python.
    run(&mut cargo(&["build", "--package", "framewire-process", "--example", "languages"]))?;
    run(environment.python(&["-m", "pytest"]).env("FRAMEWIRE_EXAMPLES", crate::python::examples()))
}

fn doc() -> Outcome {
    run(cargo(&["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "--deny warnings"))
}

fn e2e() -> Outcome {
    run(&mut cargo(&["build", "--release"]))?;
    let environment = Environment::prepare()?;
    environment.install()?;
    let test = [
        "test",
        "--release",
        "--package",
        "framewire-server",
        "--test",
        "e2e",
        "--",
        "--include-ignored",
        "--nocapture",
    ];
    run(quiet(cargo(&test)).env("FRAMEWIRE_PYTHON", environment.interpreter()))
}

/// Tests that let a child panic would fill the output with its backtrace.
fn quiet(mut tests: Command) -> Command {
    if env::var_os("RUST_BACKTRACE").is_none() {
        tests.env("RUST_BACKTRACE", "0");
    }
    tests
}
