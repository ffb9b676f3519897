//! Other programs, run so that a failure names what was run.

use std::{
    env,
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{Outcome, target, temporary, tree};

/// Cargo, in the workspace, with the shared target folder.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(tree::root());
    if let Some(target) = target::folder() {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

/// Git, in the workspace. A clone that belongs to another user, as on build machines, is as good as one's own.
pub fn git(arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "safe.directory=*"]).args(arguments).current_dir(tree::root());
    command
}

/// Any program, in a folder of the workspace.
pub fn program(name: &str, folder: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(tree::root().join(folder));
    command
}

/// Runs it to its end, its output being ours.
pub fn run(command: &mut Command) -> Outcome {
    let ended = temporary::told(command)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("run `{}`: {error}", line(command)))?;
    if ended.success() { Ok(()) } else { Err(format!("`{}` failed: {ended}", line(command)).into()) }
}

/// Runs it to its end and gives what it wrote to its standard output.
pub fn output(command: &mut Command) -> Outcome<String> {
    let output = temporary::told(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("run `{}`: {error}", line(command)))?;
    if !output.status.success() {
        return Err(format!("`{}` failed: {}", line(command), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Whether it can be run and is content, without a word.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|ended| ended.success())
}

/// As one would type it.
fn line(command: &Command) -> String {
    let name = PathBuf::from(command.get_program());
    let name = name.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    let words = command.get_args().map(OsStr::to_string_lossy);
    std::iter::once(name.into()).chain(words).collect::<Vec<_>>().join(" ")
}
