//! The table of all that this executable can become.

use std::{collections::BTreeMap, io::Write, process::ExitCode};

use crate::{
    BoxError, Commands, Launcher, System, child,
    foreign::{self, FOREIGN},
    launch::zygote::{self, Role, ZYGOTE},
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
}

/// What each process of this program knows of it, for children of its own.
#[derive(Clone, Debug)]
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

    /// Becomes what the command line says: a process of the table, or, without such words, the application, under
    /// which `app` runs. When `app` returns, all processes are stopped. An error that it returns is printed.
    pub fn run(self, app: impl FnOnce(&System) -> Result<(), BoxError>) -> ExitCode {
        let mut arguments = std::env::args().skip(1);
        match arguments.next().as_deref() {
            Some(CHILD) => {
                let kind = arguments.next().unwrap_or_default();
                return match child::Line::take_over_stdin() {
                    Ok(line) => self.live(&kind, line),
                    Err(error) => {
                        fail(&format!("could not start as a {kind}: {error}; it is started by framewire, not by hand"))
                    }
                };
            }
            Some(ZYGOTE) => {
                return match zygote::serve(&arguments.next().unwrap_or_default()) {
                    Role::Over(code) => code,
                    Role::Child { kind, line } => self.live(&kind, line),
                };
            }
            Some(FOREIGN) => return foreign::become_it(),
            _ => {}
        }
        let done = System::start(self.table()).map_err(BoxError::from).and_then(|system| {
            let done = app(&system);
            system.stop_all(crate::system::GRACE);
            done
        });
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("could not {error}")),
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
}

fn fail(message: &str) -> ExitCode {
    // Not `eprintln`: it panics if standard error is gone.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
