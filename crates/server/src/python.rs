//! Which Python runs the analysers.

use std::{
    env,
    ffi::OsStr,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use process::BoxError;

/// This package of Python's must be there, and of our version: both ends of a wire are one build.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Python itself is there in 20 ms, with a cold disk in a second or two.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// An interpreter that has the `framewire` package.
#[derive(Clone, Debug)]
pub struct Python(PathBuf);

/// Where an interpreter was found, for whoever wonders why it was this one.
struct Candidate {
    program: PathBuf,
    whence: &'static str,
}

impl Python {
    /// The interpreter that was chosen, else the one of the environment that this program is installed in, else that of the
    /// active environment, else `python3`.
    ///
    /// # Errors
    ///
    /// If there is none, or it hasn't the package of this very version: which one it is, and what to do.
    pub fn find(chosen: Option<PathBuf>) -> Result<Self, BoxError> {
        let beside = env::current_exe().ok().and_then(|program| Some(program.parent()?.to_owned()));
        let candidate = candidate(chosen, beside.as_deref(), env::var_os("VIRTUAL_ENV").as_deref());
        check(&candidate)?;
        Ok(Self(candidate.program))
    }

    /// Its path, or its name in `PATH`.
    pub fn program(&self) -> &Path {
        &self.0
    }
}

fn candidate(chosen: Option<PathBuf>, beside: Option<&Path>, active: Option<&OsStr>) -> Candidate {
    let beside = beside.map(|folder| folder.join("python")).filter(|python| python.is_file());
    let active = active.map(|folder| Path::new(folder).join("bin/python")).filter(|python| python.is_file());
    let given = chosen.map(|program| Candidate { program, whence: "by --python" });
    let beside = beside.map(|program| Candidate { program, whence: "beside this program" });
    let active = active.map(|program| Candidate { program, whence: "of the active environment" });
    let usual = || Candidate { program: PathBuf::from("python3"), whence: "in PATH" };
    given.or(beside).or(active).unwrap_or_else(usual)
}

fn check(Candidate { program, whence }: &Candidate) -> Result<(), BoxError> {
    let name = program.display();
    let failed = |why: String| BoxError::from(format!("use {name}, the Python {whence}, for analysers: {why}"));
    let other = "choose another with --python PATH";
    // -P: what is in the working folder isn't what is installed.
    let mut asked = Command::new(program);
    asked.args(["-P", "-c", "import framewire; print(framewire.__version__)"]);
    let answer = output(&mut asked, ANSWERS_WITHIN).map_err(|why| failed(format!("{why}; {other}")))?;
    let (said, complaint) = (String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr));
    let install = format!("{name} -m pip install framewire=={VERSION}");
    match said.trim() {
        VERSION if answer.status.success() => Ok(()),
        version if answer.status.success() => {
            Err(failed(format!("it has framewire {version}, and this is {VERSION}; run `{install}`, or {other}")))
        }
        _ if complaint.contains("No module named 'framewire'") => {
            Err(failed(format!("it has no package framewire; run `{install}`, or {other}")))
        }
        _ => {
            let last = complaint.trim().lines().next_back().unwrap_or("it said nothing").to_owned();
            Err(failed(format!("{} ({last}); Python 3.11 is the oldest that will do; {other}", answer.status)))
        }
    }
}

/// Runs it to its end, but not longer than `limit`.
fn output(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let (told, hears) = mpsc::channel();
    for (index, stream) in streams(&mut child).into_iter().enumerate() {
        let told = told.clone();
        let read = move || {
            let (mut stream, mut bytes) = (stream, Vec::new());
            let _ = stream.read_to_end(&mut bytes); // what came is what it said
            let _ = told.send((index, bytes));
        };
        thread::Builder::new().spawn(read).map_err(|error| error.to_string())?;
    }
    let mut said = [Vec::new(), Vec::new()];
    for _ in 0..said.len() {
        let Ok((index, bytes)) = hears.recv_timeout(limit) else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it didn't answer within {} s", limit.as_secs()));
        };
        said[index] = bytes;
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let [stdout, stderr] = said;
    Ok(Output { status, stdout, stderr })
}

fn streams(child: &mut Child) -> Vec<Box<dyn Read + Send>> {
    let stdout = child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    let stderr = child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    [stdout, stderr].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(script: &str) -> String {
        let folder = env::temp_dir().join(format!("framewire-python-{}-{}", std::process::id(), script.len()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("python");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let checked = check(&Candidate { program, whence: "by --python" });
        std::fs::remove_dir_all(&folder).unwrap();
        checked.err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn one_that_will_not_do_says_which_it_is_and_what_to_run() {
        assert_eq!(said(&format!("echo {VERSION}")), "");
        let older = said("echo 0.0.1");
        assert!(older.contains("framewire 0.0.1") && older.contains("-m pip install framewire=="), "{older}");
        let without = said("echo \"ModuleNotFoundError: No module named 'framewire'\" >&2; exit 1");
        assert!(without.contains("/python -m pip install") && without.contains("by --python"), "{without}");
        let ancient = said("echo 'Unknown option: -P' >&2; exit 2");
        assert!(ancient.contains("Unknown option") && ancient.contains("3.11"), "{ancient}");
        let missing = Candidate { program: "/nowhere/python".into(), whence: "in PATH" };
        let missing = check(&missing).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/python") && missing.contains("--python"), "{missing}");
    }

    #[test]
    fn one_that_never_answers_is_not_waited_for() {
        let hangs = output(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert!(hangs.contains("didn't answer"), "{hangs}");
    }

    #[test]
    fn the_chosen_one_comes_first_and_then_the_nearest() {
        let folder = env::temp_dir().join(format!("framewire-pythons-{}", std::process::id()));
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("python"), "").unwrap();
        let empty = folder.join("empty");
        let which = |chosen: Option<&str>, beside: &Path, active: Option<&Path>| {
            candidate(chosen.map(PathBuf::from), Some(beside), active.map(Path::as_os_str)).whence
        };
        assert_eq!(which(Some("x"), &bin, Some(&folder)), "by --python");
        assert_eq!(which(None, &bin, Some(&folder)), "beside this program");
        assert_eq!(which(None, &empty, Some(&folder)), "of the active environment");
        assert_eq!(which(None, &empty, Some(&empty)), "in PATH");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
