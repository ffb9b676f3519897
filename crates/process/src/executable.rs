//! What a child is made of, when that isn't this executable again.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

/// A program that becomes the child: another one of ours, or an interpreter with a script of ours. It is started with its
/// arguments, then those of [`Program::run`](crate::Program::run): `__process`, the kind, and the process's name.
///
/// ```
/// use process::Executable;
/// let python = Executable::new("python3").args(["-m", "framewire.worker", "people:Detector"]);
/// assert_eq!(python.program().to_str(), Some("python3"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    program: PathBuf,
    arguments: Vec<OsString>,
    zygote: Option<Box<Executable>>,
}

impl Executable {
    /// A program by its path, or by its name, which is looked for in `PATH`.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), zygote: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Children are copies of this one, where that can be, as with [`Launcher::Zygote`](crate::Launcher::Zygote). It is started
    /// once, with `__zygote` and a number after its arguments, which it gives to
    /// [`Program::run_child`](crate::Program::run_child). Executables with equal ones have one between them.
    #[must_use]
    pub fn copied_from(mut self, zygote: Executable) -> Self {
        self.zygote = Some(Box::new(zygote));
        self
    }

    pub(crate) fn zygote(&self) -> Option<&Executable> {
        self.zygote.as_deref()
    }

    /// Its path or name.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
