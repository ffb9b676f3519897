//! An application as a service of systemd: readiness, watchdog, status, stopping, what outlives a restart, the journal, and
//! the units themselves.
//!
//! Only the application's own process speaks to systemd, never a child ([`VARIABLES`] are taken out of the environment of
//! each), so a unit has `NotifyAccess=main`. Where there is no systemd, everything here does nothing and says so
//! ([`Service::is_managed`]): one program runs in both places.
//!
//! ```no_run
//! use process::{BoxError, System, systemd::{Journal, Service}};
//! use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
//! use shm::{arena::Arena, queue::{Queue, QueueOptions}};
//! use std::time::Duration;
//!
//! fn app(system: &System) -> Result<(), BoxError> {
//!     tracing_subscriber::registry().with(Journal::of_stderr()).init(); // entries with the name of each process
//!     let service = Service::of(system).join()?;
//!     let jobs: Queue<String> = match service.restore("jobs")? {
//!         Some(jobs) => jobs, // with all that was in it when our predecessor was killed
//!         None => {
//!             let options = QueueOptions::default();
//!             let jobs = Queue::create(&Arena::create(options.bytes()?)?, options)?;
//!             service.keep("jobs", &jobs)?;
//!             jobs
//!         }
//!     };
//!     // … start processes …
//!     service.started();  // READY=1 as soon as all of them are
//!     // … until SIGTERM …
//!     service.stopping(Duration::from_secs(30)); // and then: let them finish
//!     Ok(())
//! }
//! ```

mod entry;
mod fd_store;
mod herald;
mod inherited;
mod journal;
mod notify;
mod quote;
mod service;
mod status;
mod unit;
mod watchdog;

pub(crate) use self::inherited::Inherited;
pub use self::{
    fd_store::{KeepError, RestoreError},
    journal::Journal,
    notify::JoinError,
    service::{NewService, Reload, Service},
    unit::{Unit, UnitError},
};

/// What systemd tells one process in its environment, and no other must take for its own. The children of a
/// [`System`](crate::System) never get it; take it from whatever else you start:
///
/// ```
/// let mut command = std::process::Command::new("true");
/// process::systemd::VARIABLES.iter().for_each(|name| { command.env_remove(name); });
/// ```
///
/// `JOURNAL_STREAM` is among them because a child's standard streams are pipes to its parent: to whoever compares them it
/// would say so, but some only look whether it is set, and then leave out their timestamps. `INVOCATION_ID` isn't: it names
/// the service's run, of which children are a part, and finds their entries. Neither are folders (`RUNTIME_DIRECTORY` and its
/// like) and `MEMORY_PRESSURE_WATCH`, which are the whole service's.
pub const VARIABLES: &[&str] = &[
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "FDSTORE",
    "SYSTEMD_EXEC_PID",
    "JOURNAL_STREAM",
    // The files stay readable for the service's user, but nobody is led there.
    "CREDENTIALS_DIRECTORY",
];
