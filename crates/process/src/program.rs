//! The table of all that this executable can become.

use std::{collections::BTreeMap, io::Write, path::PathBuf, process::ExitCode};

use crate::{
    BoxError, Commands, Host, Launcher, System,
    cgroup::{self, NoTree, Tree},
    child,
    foreign::{self, FOREIGN},
    launch::zygote::{self, NoHost, Role, ZYGOTE},
};

/// What children are called before they have their name.
pub(crate) const TITLE: &str = "framewire";

/// How a child process is told apart from the application: its first argument.
pub(crate) const CHILD: &str = "__process";

/// Every process that this executable can become; it stands in `main`. See the [crate's example](crate).
#[derive(Debug, Default)]
#[must_use]
pub struct Program {
    kinds: BTreeMap<&'static str, fn(child::Line, Table) -> ExitCode>,
    launcher: Launcher,
    control_group: Option<PathBuf>,
    host: Option<Box<dyn Host>>,
}

/// What each process of this program knows of it, for children of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub kinds: Vec<&'static str>,
    pub launcher: Launcher,
}

impl Program {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind.
    ///
    /// # Panics
    ///
    /// If there is another kind of that name: a slip in `main`, seen at the first start.
    pub fn process<P: Commands>(mut self) -> Self {
        let former = self.kinds.insert(P::KIND, child::run::<P>);
        assert!(former.is_none(), "two kinds of process are called {:?}", P::KIND);
        self
    }

    /// The control group (version 2) in which each process gets one of its own, where the kernel keeps its
    /// [memory limit](crate::Spawn::memory_limit), and where all that it has started ends with it. Whoever starts this program
    /// has made it for that: nobody else's processes are in it, this user may write to it, and memory is among its
    /// `cgroup.controllers`.
    ///
    /// It needn't be said where the service manager has delegated the program's own group to it (`Delegate=yes` in a unit of
    /// systemd's): that is seen by the mark that it sets, and taken. Without either nothing is touched: that root *may* write
    /// to a group doesn't mean that it is ours.
    pub fn control_group(mut self, folder: impl Into<PathBuf>) -> Self {
        self.control_group = Some(folder.into());
        self
    }

    /// How children are started, unless it is said for one of them ([`Spawn::launcher`](crate::Spawn::launcher)); by default by
    /// [`Launcher::Exec`]. It holds for children's children too.
    ///
    /// ```no_run
    /// use process::{Launcher, Program};
    /// fn main() -> std::process::ExitCode {
    ///     Program::new().launcher(Launcher::Zygote).run(|system| Ok(()))
    /// }
    /// ```
    pub fn launcher(mut self, launcher: Launcher) -> Self {
        self.launcher = launcher;
        self
    }

    /// What this program runs in, if it isn't all that there is: it has its say when a zygote copies itself.
    pub fn host(mut self, host: Box<dyn Host>) -> Self {
        self.host = Some(host);
        self
    }

    /// Becomes what the command line says: a process of the table, or, without such words, the application, under
    /// which `app` runs. When `app` returns, all processes are stopped, within half a second; if another thread is at that
    /// ([`System::stop_all`]), it has the time that it was given. An error that `app` returns is printed.
    pub fn run(mut self, app: impl FnOnce(&System) -> Result<(), BoxError>) -> ExitCode {
        // What isn't text isn't ours, but may well be the application's: the name of a file.
        if let Some(ended) = self.run_child(std::env::args_os().skip(1).map_while(|word| word.into_string().ok())) {
            return ended;
        }
        let done = self.tree().and_then(|tree| {
            let system = System::start(self.table(), tree.clone())?;
            let done = app(&system);
            system.end(crate::system::GRACE);
            tree.iter().for_each(Tree::close);
            done
        });
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("could not {error}")),
        }
    }

    /// Becomes the process that `arguments` name, lives as it, and gives how it ended; or does nothing, if they name none
    /// (they don't begin as those of a child). For a host that isn't a program of ours, such as an interpreter; others call
    /// [`run`](Self::run).
    pub fn run_child(&mut self, arguments: impl IntoIterator<Item = String>) -> Option<ExitCode> {
        let mut arguments = arguments.into_iter();
        match arguments.next()?.as_str() {
            CHILD => {
                let kind = arguments.next().unwrap_or_default();
                Some(match child::Line::take_over_stdin() {
                    Ok(line) => self.live(&kind, line),
                    Err(error) => {
                        fail(&format!("could not start as a {kind}: {error}; it is started by framewire, not by hand"))
                    }
                })
            }
            ZYGOTE => {
                let mut host = self.host.take().unwrap_or_else(|| Box::new(NoHost));
                Some(match zygote::serve(&arguments.next().unwrap_or_default(), &mut *host) {
                    Role::Over(code) => code,
                    Role::Child { kind, line } => self.live(&kind, line),
                })
            }
            FOREIGN => Some(foreign::become_it()),
            _ => None,
        }
    }

    fn live(&self, kind: &str, line: child::Line) -> ExitCode {
        match self.kinds.get(kind) {
            Some(run) => run(line, self.table()),
            None => fail(&format!("could not become a {kind:?}: this program can't; see Program::process")),
        }
    }

    fn table(&self) -> Table {
        Table { kinds: self.kinds.keys().copied().collect(), launcher: self.launcher }
    }

    /// Where control groups are made, if anywhere.
    fn tree(&self) -> Result<Option<Tree>, BoxError> {
        if let Some(folder) = &self.control_group {
            let unusable = |error| format!("use the control group {}: could not {error}", folder.display());
            return Ok(Some(Tree::at(folder).map_err(unusable)?));
        }
        match cgroup::find() {
            Ok(tree) => Ok(Some(tree)),
            Err(why @ (NoTree::None | NoTree::NotDelegated(_))) => {
                tracing::debug!("processes have no control groups of their own: {why}");
                Ok(None)
            }
            Err(why) => {
                tracing::warn!("processes have no control groups of their own, though they should: {why}");
                Ok(None)
            }
        }
    }
}

fn fail(message: &str) -> ExitCode {
    // Not `eprintln`: it panics if standard error is gone.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
