//! The unit of an application: a service and the slice that it is in.

use std::{
    ffi::OsString,
    fmt::{self, Write},
    path::PathBuf,
    time::Duration,
};

use super::quote;

/// A unit can't be written.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// Not a name of a unit.
    #[error("name a unit {0:?}: a name is of letters, digits and - _ . and begins with a letter")]
    Name(String),
    /// The program isn't given whole.
    #[error("have systemd run {0:?}: it wants the whole path of a program, from / on")]
    NotAbsolute(String),
    /// Systemd refuses it, however it is written.
    #[error("have systemd run {0:?}: it takes no program with quotes, backslashes or control characters in its path")]
    Program(String),
    /// Units are text.
    #[error("write {0:?} into a unit: it isn't UTF-8")]
    NotText(OsString),
    /// A zero byte.
    #[error("write {0:?} into a unit: there is a zero byte in it")]
    Character(String),
}

/// Writes the unit of an application that speaks to systemd by [`Service`](super::Service): two texts, of a service and of
/// the slice with its limits, for `/etc/systemd/system` or `~/.config/systemd/user`.
///
/// ```
/// use process::systemd::Unit;
/// # fn main() -> Result<(), process::systemd::UnitError> {
/// let unit = Unit::new("watch", "/usr/local/bin/watch").argument("--title").argument("50 % of $all").memory_max(2 << 30);
/// assert_eq!(unit.service_name(), "watch.service");
/// assert!(unit.service()?.contains("\nExecStart=/usr/local/bin/watch --title \"50 %% of $$all\"\n"));
/// assert!(unit.slice()?.contains("\nMemoryMax=2147483648\n"));
/// assert!(Unit::new("watch", "watch").service().is_err()); // not a whole path
/// # Ok(()) }
/// ```
///
/// What it says, and why:
///
/// | | |
/// |---|---|
/// | `Type=notify`, `NotifyAccess=main` | children say nothing to systemd |
/// | `KillMode=mixed` | SIGTERM to the application alone, which stops its processes in order; what is left at the end is killed |
/// | `OOMPolicy=continue` | one process that the kernel kills for want of memory is restarted by its supervisor, and the unit stays up |
/// | `Restart=on-failure`, `WatchdogSec=30` | systemd sees to the supervisor as that does to its processes |
/// | `Slice=`, with `MemoryHigh=` and `MemoryMax=` | one limit for all of it; `MemoryLimit=` is of cgroup v1 and does nothing |
/// | `Delegate=yes` | the application may make control groups for its processes |
/// | `NoNewPrivileges=` and so on | what costs such an application nothing. Not `PrivateTmp` (sockets of programs that meet), `PrivateDevices`, `ProtectClock` (both close GPUs and cameras), `MemoryDenyWriteExecute` (compilers in models), nor `PrivateUsers` |
#[derive(Clone, Debug)]
#[must_use]
pub struct Unit {
    name: String,
    description: String,
    program: PathBuf,
    arguments: Vec<Argument>,
    credentials: Vec<(String, PathBuf)>,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
    who: Who,
    reloads: bool,
    memory_high: Option<u64>,
    memory_max: Option<u64>,
    tasks_max: Option<u64>,
    open_files: u64,
    kept_descriptors: u32,
    watchdog: Duration,
    stop_within: Duration,
}

#[derive(Clone, Debug)]
enum Argument {
    Text(OsString),
    Credential(String),
}

/// As whom it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever runs the user's own systemd.
    UserManager,
    User(String),
    Dynamic,
}

impl Unit {
    /// The unit NAME, which runs this program (its whole path). It is for the machine's systemd, and has a
    /// [user of its own](Self::user).
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        let name = name.into();
        Self {
            description: name.clone(),
            name,
            program: program.into(),
            arguments: Vec::new(),
            credentials: Vec::new(),
            environment: Vec::new(),
            folder: None,
            who: Who::Dynamic,
            reloads: false,
            memory_high: None,
            memory_max: None,
            tasks_max: None,
            open_files: 65_536,
            kept_descriptors: 64,
            watchdog: Duration::from_secs(30),
            stop_within: Duration::from_secs(15),
        }
    }

    /// What `systemctl` shows beside its name; by default the name.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// One more argument, taken as it is: spaces, quotes, `%` and `$` are escaped.
    pub fn argument(mut self, text: impl Into<OsString>) -> Self {
        self.arguments.push(Argument::Text(text.into()));
        self
    }

    /// A secret: a file that only its owner need be able to read, and that systemd shows to this service alone. It must be a
    /// whole path.
    pub fn credential(mut self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.credentials.push((name.into(), file.into()));
        self
    }

    /// One more argument: the path at which the service finds a [credential](Self::credential).
    pub fn credential_argument(mut self, name: impl Into<String>) -> Self {
        self.arguments.push(Argument::Credential(name.into()));
        self
    }

    /// A variable of its environment. Anybody can read a unit: nothing secret.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Its working folder; by default the root.
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// It runs as this user. By default systemd makes one up for as long as the service runs, who may read what everybody
    /// may, and write nothing.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.who = Who::User(user.into());
        self
    }

    /// It is for a user's own systemd (`systemctl --user`), which can't take rights away by mounts.
    pub fn for_user_manager(mut self) -> Self {
        self.who = Who::UserManager;
        self
    }

    /// `Type=notify-reload` (systemd 253): a reload is SIGHUP, answered by [`Service::reloading`](super::Service::reloading).
    pub fn reloads(mut self) -> Self {
        self.reloads = true;
        self
    }

    /// From this many bytes on, all its processes together are slowed down, and their memory is taken back where it can be.
    pub fn memory_high(mut self, bytes: u64) -> Self {
        self.memory_high = Some(bytes);
        self
    }

    /// More than these bytes all its processes together never have: beyond, the kernel kills one of them.
    pub fn memory_max(mut self, bytes: u64) -> Self {
        self.memory_max = Some(bytes);
        self
    }

    /// More processes and threads than these it never has; by default what systemd's own default is (a share of the machine's).
    pub fn tasks_max(mut self, tasks: u64) -> Self {
        self.tasks_max = Some(tasks);
        self
    }

    /// How many descriptors one process may have open; by default 65,536, which is enough for 10,000 processes.
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = count;
        self
    }

    /// How many descriptors systemd keeps across a restart; by default 64. A [value](super::Service::keep) takes two, and one
    /// that is being replaced two more.
    pub fn kept_descriptors(mut self, count: u32) -> Self {
        self.kept_descriptors = count;
        self
    }

    /// How long the service may be without a sign of life; by default 30 s.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.watchdog = limit;
        self
    }

    /// How long a stop may take, unless the service [asks for more](super::Service::stopping); by default 15 s.
    pub fn stop_within(mut self, limit: Duration) -> Self {
        self.stop_within = limit;
        self
    }

    /// The name of the service's file.
    #[must_use]
    pub fn service_name(&self) -> String {
        format!("{}.service", self.name)
    }

    /// The name of the slice's file. A `-` in it would mean a slice inside another one.
    #[must_use]
    pub fn slice_name(&self) -> String {
        format!("{}.slice", self.name.replace('-', "_"))
    }

    /// The service's file.
    ///
    /// # Errors
    ///
    /// See [`UnitError`]: what can't be written so that systemd reads what was meant.
    pub fn service(&self) -> Result<String, UnitError> {
        let name = &self.name;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !name.starts_with(|first: char| first.is_ascii_alphabetic())
            || !name.bytes().all(is_plain)
            || name.len() > 200
        {
            return Err(UnitError::Name(name.clone()));
        }
        let mut text = Text::default();
        text.section("Unit");
        text.set("Description", &quote::line(&self.description));
        if self.who != Who::UserManager {
            text.set("Wants", "network-online.target");
            text.set("After", "network-online.target");
        }
        text.section("Service");
        text.set("Type", if self.reloads { "notify-reload" } else { "notify" });
        text.set("NotifyAccess", "main");
        text.set("ExecStart", &self.command_line()?);
        for (name, value) in &self.environment {
            text.set("Environment", &quote::word(&format!("{name}={value}"))?);
        }
        for (name, file) in &self.credentials {
            let file = utf8(file.clone().into())?;
            if !file.starts_with('/') {
                return Err(UnitError::NotAbsolute(file));
            }
            text.set("LoadCredential", &quote::word(&format!("{name}:{file}"))?);
        }
        if let Some(folder) = &self.folder {
            text.set("WorkingDirectory", &quote::line(&utf8(folder.clone().into())?));
        }
        match &self.who {
            Who::UserManager => {}
            Who::User(user) => text.set("User", &quote::line(user)),
            Who::Dynamic => text.set("DynamicUser", "yes"),
        }
        text.set("Restart", "on-failure");
        text.set("KillMode", "mixed");
        text.set("TimeoutStopSec", &milliseconds(self.stop_within));
        text.set("WatchdogSec", &milliseconds(self.watchdog));
        text.set("OOMPolicy", "continue");
        text.set("Slice", &self.slice_name());
        text.set("Delegate", "yes");
        text.set("FileDescriptorStoreMax", &self.kept_descriptors.to_string());
        text.set("LimitNOFILE", &self.open_files.to_string());
        text.set("NoNewPrivileges", "yes");
        if self.who != Who::UserManager {
            HARDENING.iter().for_each(|name| text.set(name, "yes"));
            text.set("ProtectSystem", "full");
        }
        text.section("Install");
        text.set("WantedBy", if self.who == Who::UserManager { "default.target" } else { "multi-user.target" });
        Ok(text.0)
    }

    /// The slice's file.
    ///
    /// # Errors
    ///
    /// As [`service`](Self::service).
    pub fn slice(&self) -> Result<String, UnitError> {
        let mut text = Text::default();
        text.section("Unit");
        text.set("Description", &quote::line(&format!("All processes of {}", self.description)));
        text.section("Slice");
        let limits = [("MemoryHigh", self.memory_high), ("MemoryMax", self.memory_max), ("TasksMax", self.tasks_max)];
        for (name, limit) in limits {
            limit.iter().for_each(|limit| text.set(name, &limit.to_string()));
        }
        Ok(text.0)
    }

    fn command_line(&self) -> Result<String, UnitError> {
        let mut line = quote::program(&utf8(self.program.clone().into())?)?;
        for argument in &self.arguments {
            line.push(' ');
            match argument {
                Argument::Text(text) => line.push_str(&quote::argument(&utf8(text.clone())?)?),
                Argument::Credential(name) => _ = write!(line, "${{CREDENTIALS_DIRECTORY}}/{name}"),
            }
        }
        Ok(line)
    }
}

/// What such an application never does, and nobody should do in its place.
const HARDENING: &[&str] = &[
    "LockPersonality",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "RestrictNamespaces",
    "RestrictSUIDSGID",
];

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.service_name())
    }
}

fn utf8(text: OsString) -> Result<String, UnitError> {
    text.into_string().map_err(UnitError::NotText)
}

/// A time in whole milliseconds. 0 would be for ever.
fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis().max(1))
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}[{name}]");
    }

    fn set(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.0, "{name}={value}");
    }
}
