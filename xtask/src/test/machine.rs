//! What the steps need on the machine, and how it gets there.

use std::{collections::BTreeSet, env, path::Path, process::Command};

use crate::{
    Outcome,
    program::{self, cargo, program},
};

/// Something that a step needs beside Rust and a linker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Rustfmt,
    Clippy,
    Chromium,
    Ffmpeg,
    GStreamer,
    Strace,
    /// With its venv module.
    Python,
    /// Node itself, and the packages of `web/`.
    NodeModules,
}

/// The oldest Node with which `web/package.json` builds.
const NODE: (u32, u32) = (20, 19);

/// Looks for a server library and one element of each set of plugins that the tests use.
const GSTREAMER: &str = "
import gi
gi.require_version('Gst', '1.0')
gi.require_version('GstRtspServer', '1.0')
from gi.repository import Gst, GstRtspServer
Gst.init(None)
for element in ('videotestsrc', 'rtph264pay', 'h264parse', 'x264enc'):
    assert Gst.ElementFactory.find(element), element
";

/// Installs what is missing, as far as that is ours to do.
///
/// # Errors
///
/// What is missing, and the command that installs it.
pub fn prepare(needs: &BTreeSet<Need>) -> Outcome {
    components(needs)?;
    debian(needs)?;
    if needs.contains(&Need::NodeModules) {
        node()?;
        program::run(&mut program("npm", "web", &["ci", "--no-audit", "--no-fund"]))?;
    }
    Ok(())
}

/// Parts of the Rust toolchain, which a minimal one lacks.
fn components(needs: &BTreeSet<Need>) -> Outcome {
    for (need, name, command) in [(Need::Rustfmt, "rustfmt", "fmt"), (Need::Clippy, "clippy", "clippy")] {
        if needs.contains(&need) && !program::succeeds(&mut cargo(&[command, "--version"])) {
            println!("Installing the toolchain's {name}.");
            program::run(&mut program("rustup", ".", &["component", "add", name]))
                .map_err(|error| format!("cargo {command} is missing ({error}); install {name} with your toolchain"))?;
        }
    }
    Ok(())
}

fn debian(needs: &BTreeSet<Need>) -> Outcome {
    let missing: Vec<&str> =
        needs.iter().filter(|need| !is_there(**need)).flat_map(|need| packages(*need)).copied().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let wanted = missing.join(" ");
    let install = format!("apt-get install --no-install-recommends {wanted}");
    if !program::succeeds(&mut program("apt-get", ".", &["--version"])) {
        return Err(format!("the tests need what Debian has as: {wanted}; install that by your system's means").into());
    }
    if !is_root() {
        return Err(format!("the tests need packages that only root can install; run: sudo {install}").into());
    }
    println!("Installing {wanted}.");
    // A package list that is partly out of reach may still be good enough: installing tells.
    let _ = program::run(&mut apt(&["update", "--quiet=2"]));
    program::run(apt(&["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(&missing))
        .map_err(|error| format!("could not install what the tests need ({error}); try: {install}"))?;
    match needs.iter().find(|need| !is_there(**need)) {
        Some(need) => Err(format!("{need:?} still doesn't work after `{install}`; look into what it installed").into()),
        None => Ok(()),
    }
}

fn packages(need: Need) -> &'static [&'static str] {
    match need {
        // The fonts are for what the page writes beside the pictures, in screenshots.
        Need::Chromium => &["chromium", "fonts-dejavu-core"],
        Need::Ffmpeg => &["ffmpeg"],
        Need::Strace => &["strace"],
        Need::Python => &["python3", "python3-venv"],
        Need::GStreamer => &[
            "python3-gi",
            "gir1.2-gst-rtsp-server-1.0",
            "gstreamer1.0-plugins-base",
            "gstreamer1.0-plugins-good",
            "gstreamer1.0-plugins-bad",
            "gstreamer1.0-plugins-ugly",
        ],
        Need::Rustfmt | Need::Clippy | Need::NodeModules => &[],
    }
}

/// By what is on the machine, and not by what a package manager says: it may have come another way.
fn is_there(need: Need) -> bool {
    match need {
        Need::Chromium => {
            let program = env::var_os("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
            Path::new(&program).exists() && Path::new("/usr/share/fonts/truetype/dejavu").exists()
        }
        Need::Ffmpeg => program::succeeds(&mut program("ffmpeg", ".", &["-version"])),
        Need::Strace => program::succeeds(&mut program("strace", ".", &["--version"])),
        Need::Python => crate::python::is_there(),
        // The system's Python: packages of the system are for no other.
        Need::GStreamer => program::succeeds(&mut program("/usr/bin/python3", ".", &["-c", GSTREAMER])),
        Need::Rustfmt | Need::Clippy | Need::NodeModules => true,
    }
}

fn node() -> Outcome {
    let (major, minor) = NODE;
    let install =
        format!("install Node.js {major}.{minor} or later with npm, from nodejs.org or your system's packages");
    let version = program::output(&mut program("node", ".", &["--version"]))
        .map_err(|error| format!("the browser page needs Node.js ({error}); {install}"))?;
    if !is_recent(&version) {
        return Err(format!("Node.js {} is too old for the browser page; {install}", version.trim()).into());
    }
    Ok(())
}

fn is_recent(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version: (u32, u32)| version >= NODE)
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = program("apt-get", ".", arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> bool {
    program::output(&mut program("id", ".", &["-u"])).is_ok_and(|user| user.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_compared_as_numbers() {
        assert!(is_recent("v20.19.0\n") && is_recent("v22.1.0") && is_recent("v100.0.1"));
        assert!(!is_recent("v20.9.5") && !is_recent("v18.20.1") && !is_recent("nonsense"));
    }
}
