//! The table of all that this executable can become.

use std::{collections::BTreeMap, io::Write, process::ExitCode};

use crate::{
    BoxError, Commands, System, child,
    foreign::{self, FOREIGN},
};

/// How a child process is told apart from the application: its first argument.
pub(crate) const CHILD: &str = "__process";

/// Every process that this executable can become; it stands in `main`. See the [crate's example](crate).
#[derive(Debug, Default)]
#[must_use]
pub struct Program {
    kinds: BTreeMap<&'static str, fn(Vec<&'static str>) -> ExitCode>,
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

    /// Becomes what the command line says: a process of the table, or, without such words, the application, under
    /// which `app` runs. When `app` returns, all processes are stopped. An error that it returns is printed.
    pub fn run(self, app: impl FnOnce(&System) -> Result<(), BoxError>) -> ExitCode {
        if let Some(ended) = self.run_child(std::env::args().skip(1)) {
            return ended;
        }
        let done = System::start(self.kinds.keys().copied().collect()).map_err(BoxError::from).and_then(|system| {
            let done = app(&system);
            system.stop_all(crate::system::GRACE);
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
    pub fn run_child(&self, arguments: impl IntoIterator<Item = String>) -> Option<ExitCode> {
        let mut arguments = arguments.into_iter();
        match arguments.next()?.as_str() {
            CHILD => {
                let kind = arguments.next().unwrap_or_default();
                Some(match self.kinds.get(kind.as_str()) {
                    Some(run) => run(self.kinds.keys().copied().collect()),
                    None => fail(&format!("could not become a {kind:?}: this program can't; see Program::process")),
                })
            }
            FOREIGN => Some(foreign::become_it()),
            _ => None,
        }
    }
}

fn fail(message: &str) -> ExitCode {
    // Not `eprintln`: it panics if standard error is gone.
    let _ = writeln!(std::io::stderr(), "error: {message}");
    ExitCode::FAILURE
}
