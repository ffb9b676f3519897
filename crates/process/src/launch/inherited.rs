//! What a child inherits from the thread that starts it. A zygote has inherited it too, but when it was started: a child that
//! it makes later must not have rights that its application has given up since.

use std::{
    ffi::OsString,
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    process::{Resource, getpriority_process, getrlimit},
};
use serde::{Deserialize, Serialize};

use crate::systemd;

/// The lines of `/proc/thread-self/status` that are inherited and aren't told to each child anyway.
const LINES: [&str; 9] =
    ["Umask:", "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp", "Cpus_allowed:", "Mems_allowed:"];

const RESOURCES: [Resource; 11] = [
    Resource::As,
    Resource::Core,
    Resource::Cpu,
    Resource::Data,
    Resource::Fsize,
    Resource::Memlock,
    Resource::Nofile,
    Resource::Nproc,
    Resource::Rtprio,
    Resource::Sigpending,
    Resource::Stack,
];

/// What can't be told to a child, because it couldn't take it: rights, limits, and the root folder. If it has changed, there
/// must be a new zygote. Namespaces aren't here: they are a thread's own, and this one never leaves its.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    status: String,
    limits: Vec<(Option<u64>, Option<u64>)>,
    /// Device and number of the root folder.
    root: Option<(u64, u64)>,
    cgroup: String,
    nice: Option<i32>,
}

impl Standing {
    /// This thread's.
    pub(super) fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/thread-self/status")?;
        let status = status.lines().filter(|line| LINES.iter().any(|wanted| line.starts_with(wanted)));
        let limits = RESOURCES.map(getrlimit).map(|limit| (limit.current, limit.maximum)).to_vec();
        let root = rustix::fs::stat("/").ok().map(|root| (root.st_dev, root.st_ino));
        // A kernel without control groups has no such file.
        let cgroup = fs::read_to_string("/proc/thread-self/cgroup").unwrap_or_default();
        // Of this thread, although it says process.
        let nice = getpriority_process(None).ok();
        Ok(Self { status: status.collect::<Vec<_>>().join("\n"), limits, root, cgroup, nice })
    }
}

/// Variables and their values, for a message. They need not be text.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Variables(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Variables {
    pub(super) fn into_changes(self) -> Vec<(OsString, Option<OsString>)> {
        let text = OsString::from_vec;
        self.0.into_iter().map(|(name, value)| (text(name), value.map(text))).collect()
    }
}

/// All variables that a child gets if nothing else is said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Environment(Vec<(OsString, OsString)>);

impl Environment {
    pub(super) fn now() -> Self {
        let all = std::env::vars_os().filter(|(name, _)| systemd::VARIABLES.iter().all(|hidden| name != hidden));
        Self(all.collect())
    }

    /// What makes `other` of this, and then these changes.
    pub(super) fn until(&self, other: &Self, changes: &[(OsString, Option<OsString>)]) -> Variables {
        let mut made = Vec::new();
        if self != other {
            let is_there = |name: &OsString| other.0.iter().any(|(there, _)| there == name);
            let gone = self.0.iter().filter(|(name, _)| !is_there(name));
            made.extend(gone.map(|(name, _)| (name.clone(), None)));
            let new = other.0.iter().filter(|variable| !self.0.contains(variable));
            made.extend(new.map(|(name, value)| (name.clone(), Some(value.clone()))));
        }
        made.extend(changes.iter().cloned());
        let bytes = |(name, value): (OsString, Option<OsString>)| (name.into_vec(), value.map(OsString::into_vec));
        Variables(made.into_iter().map(bytes).collect())
    }
}

/// The working folder of a child: ours, unless it is to have another.
pub(super) fn folder(wanted: Option<&Path>) -> Result<OwnedFd, String> {
    let path = wanted.unwrap_or(Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map_err(|errno| format!("{errno} (its working folder is to be {})", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect())
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = environment(&[("KEPT", "1"), ("CHANGED", "1"), ("GONE", "1")]);
        let now = environment(&[("CHANGED", "2"), ("KEPT", "1"), ("NEW", "1")]);
        let wanted = [(OsString::from("NEW"), None), (OsString::from("MORE"), Some(OsString::from("1")))];
        let told = before.until(&now, &wanted).into_changes();
        let told: Vec<_> = told.iter().map(|(name, value)| (name.to_str().unwrap(), value.as_deref())).collect();
        let value = |value: &'static str| Some(std::ffi::OsStr::new(value));
        let expected =
            [("GONE", None), ("CHANGED", value("2")), ("NEW", value("1")), ("NEW", None), ("MORE", value("1"))];
        assert_eq!(told, expected);
        assert!(before.until(&before, &[]).into_changes().is_empty());
    }

    #[test]
    fn what_is_inherited_stays_the_same_until_it_is_changed() {
        let before = Standing::now().unwrap();
        assert_eq!(before, Standing::now().unwrap());
        assert!(LINES.iter().all(|line| before.status.contains(line)), "{}", before.status);
        let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
        let changed = Standing::now().unwrap();
        rustix::process::umask(umask);
        assert_ne!(before, changed);
    }
}
