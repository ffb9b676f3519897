//! The Python package: its wheel, and the environment in which it is tested.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Outcome,
    program::{cargo, output, program, run, succeeds},
    target, tree,
};

/// The oldest Python whose stable interface has buffers.
const OLDEST: (u32, u32) = (3, 11);

/// The packages that tests and tools need, in `python/`.
const REQUIREMENTS: &str = "requirements-dev.txt";

/// What of the package is written in Rust.
const ENGINE: &str = "_core.abi3.so";

/// An environment with an interpreter, the tools, and no Framewire yet.
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Makes it, or finds it made from the same requirements.
    pub fn prepare() -> Outcome<Self> {
        let python = interpreter().ok_or_else(|| {
            let (major, minor) = OLDEST;
            format!("found no Python from {major}.{minor} on with its venv module; install it (Debian: python3 and python3-venv)")
        })?;
        let version = output(Command::new(&python).arg("--version"))?;
        let wanted = format!("{version}{}", fs::read_to_string(tree::root().join("python").join(REQUIREMENTS))?);
        let folder = built().join("python");
        let (environment, stamp) = (Self { folder: folder.join("environment") }, folder.join("environment.stamp"));
        if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) && environment.python(&[]).output().is_ok() {
            return Ok(environment);
        }
        let _ = fs::remove_file(&stamp);
        fs::create_dir_all(&folder)?;
        run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&environment.folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS];
        run(&mut environment.python(&pip))?;
        fs::write(stamp, wanted)?;
        Ok(environment)
    }

    /// Its interpreter, in the package's folder.
    pub fn python(&self, arguments: &[&str]) -> Command {
        let mut python = program(&self.program("python"), "python", arguments);
        // So that tests find what is installed, and neither the package's source in this folder nor what whoever runs them
        // has set.
        python.env("PYTHONSAFEPATH", "1").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        python.env("VIRTUAL_ENV", &self.folder);
        python
    }

    /// Where its interpreter is.
    pub fn interpreter(&self) -> PathBuf {
        PathBuf::from(self.program("python"))
    }

    /// Builds the wheel and puts it in, in place of an older one. The engine is copied beside the package's source, too: whoever runs
    /// Python in that folder, as tests and type checkers do, finds that first.
    pub fn install(&self) -> Outcome {
        let beside = tree::root().join("python").join("framewire").join(ENGINE);
        // It must not come into the wheel from there.
        let _ = fs::remove_file(&beside);
        let wheel = self.wheel()?;
        let wheel = wheel.to_string_lossy();
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall"];
        run(self.python(&pip).arg(&*wheel))?;
        let find = "import sysconfig; print(sysconfig.get_path('platlib'), end='')";
        let installed = PathBuf::from(output(&mut self.python(&["-c", find]))?).join("framewire").join(ENGINE);
        fs::copy(&installed, beside).map_err(|error| format!("copy {}: {error}", installed.display()))?;
        Ok(())
    }

    /// Builds the wheel: the library and the `framewire` program. Gives its place.
    pub fn wheel(&self) -> Outcome<PathBuf> {
        run(&mut cargo(&["build", "--release", "--package", "framewire-server"]))?;
        // What is in this folder comes beside the interpreter; maturin's name for it is fixed.
        let scripts = tree::root().join("python").join("framewire.data").join("scripts");
        fs::create_dir_all(&scripts)?;
        fs::copy(built().join("release").join("framewire"), scripts.join("framewire"))?;
        let wheels = built().join("wheels");
        let _ = fs::remove_dir_all(&wheels);
        let out = wheels.to_string_lossy();
        let mut maturin = program(
            &self.program("maturin"),
            "python",
            &["build", "--release", "--quiet", "--locked", "--compatibility", "linux", "--out", &out],
        );
        if let Some(target) = target::folder() {
            maturin.env("CARGO_TARGET_DIR", target);
        }
        run(&mut maturin)?;
        let wheel = fs::read_dir(&wheels)?.filter_map(Result::ok).map(|entry| entry.path());
        wheel.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl")).ok_or_else(|| {
            format!("maturin said that it had built a wheel, but there is none in {}", wheels.display()).into()
        })
    }

    fn program(&self, name: &str) -> String {
        self.folder.join("bin").join(name).to_string_lossy().into_owned()
    }
}

/// Where the example programs are that Python's tests start.
pub fn examples() -> PathBuf {
    built().join("debug").join("examples")
}

fn built() -> PathBuf {
    target::folder().unwrap_or_else(|| tree::root().join("target"))
}

/// Whether there is an interpreter that will do.
pub fn is_there() -> bool {
    interpreter().is_some()
}

/// The first of the usual names behind which there is a Python that will do.
fn interpreter() -> Option<String> {
    let will_do = format!("import sys, venv, ensurepip; sys.exit(sys.version_info < {OLDEST:?})");
    ["python3", "python3.13", "python3.12", "python3.11", "/usr/bin/python3"]
        .into_iter()
        .find(|name| succeeds(Command::new(name).args(["-c", &will_do]).current_dir(Path::new("/"))))
        .map(str::to_owned)
}
