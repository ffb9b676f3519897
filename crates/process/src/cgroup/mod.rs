//! A control group for each child, where this program was given a part of the tree (cgroup v2): the kernel keeps the memory
//! limit for the child and all that it has started, and a child's end ends all of that, wherever it has gone.
//!
//! ```text
//!   our part of the tree (delegated: by systemd's Delegate=yes, or named in Program::control_group)
//!   ├── supervisor                   this process, since a group with children in it can't have processes (not if named)
//!   ├── framewire-4711-3-camera      the third child of process 4711, called "camera"
//!   └── framewire-4711-4-detector
//! ```
//!
//! The tree is a folder given as an argument, so that a test can make one of its own.

mod find;
mod leaf;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{connection::lock, logs::later};

pub(crate) use self::{find::find, leaf::Leaf};

/// What all of ours begin with. Whatever else is in the tree is somebody else's.
const PREFIX: &str = "framewire-";
/// Where this process goes.
const SUPERVISOR: &str = "supervisor";

/// What was just killed takes the kernel some milliseconds; what is in its hands (a dead disk) for good is asked ever less.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A part of the tree in which we may make groups. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Whether the kernel keeps memory limits in it.
    has_memory: bool,
    next: AtomicU64,
    /// Groups that are to go, and couldn't yet.
    graves: Mutex<Vec<Grave>>,
}

#[derive(Debug)]
struct Grave {
    leaf: Leaf,
    next_try: Instant,
    delay: Duration,
}

/// Why there are no control groups for children.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoTree {
    #[error("this process is in no control group of version 2")]
    None,
    #[error("{} isn't delegated to this program (systemd: Delegate=yes; else see Program::control_group)", .0.display())]
    NotDelegated(PathBuf),
    #[error("{} has other processes in it, which aren't ours to move", .0.display())]
    Inhabited(PathBuf),
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NoTree {
    let path = path.to_owned();
    move |source| NoTree::Io { what, path, source }
}

impl Tree {
    /// Takes a group whose processes we may arrange: this process moves into a group of its own inside.
    ///
    /// # Errors
    ///
    /// If there are other processes in it, or the kernel refuses.
    pub(crate) fn inside(root: &Path) -> Result<Self, NoTree> {
        let own = root.join(SUPERVISOR);
        let (us, them) = (process::id().to_string(), root.join("cgroup.procs"));
        let inhabitants = fs::read_to_string(&them).map_err(failed("read", &them))?;
        if inhabitants.lines().any(|pid| pid.trim() != us) {
            return Err(NoTree::Inhabited(root.to_owned()));
        }
        make(&own)?;
        // 0 is whoever writes it.
        write(&own.join("cgroup.procs"), "0")?;
        Self::at(root)
    }

    /// Takes a group that was made for our children, and has no processes of its own.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or it isn't one.
    pub(crate) fn at(root: &Path) -> Result<Self, NoTree> {
        let kinds = root.join("cgroup.controllers");
        let available = fs::read_to_string(&kinds).map_err(failed("read", &kinds))?;
        let offers = |controller: &str| available.split_whitespace().any(|offered| offered == controller);
        let passed_on = root.join("cgroup.subtree_control");
        let has_memory = offers("memory") && write(&passed_on, "+memory").is_ok();
        let (next, graves) = (AtomicU64::new(1), Mutex::default());
        let tree = Self(Arc::new(Inner { root: root.to_owned(), has_memory, next, graves }));
        tree.sweep();
        // Better now than at the first child.
        tree.leaf("try", None)?.remove()?;
        Ok(tree)
    }

    /// A group for a child of this name.
    ///
    /// # Errors
    ///
    /// If it can't be made, or can't have the limit.
    pub(crate) fn leaf(&self, name: &str, limit_bytes: Option<u64>) -> Result<Leaf, NoTree> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let leaf = Leaf::create(&self.0.root.join(format!("{PREFIX}{}-{number}-{}", process::id(), safe(name))))?;
        if let Some(limit_bytes) = limit_bytes.filter(|_| self.0.has_memory) {
            return leaf.limit(limit_bytes);
        }
        Ok(leaf)
    }

    /// A child has ended: whatever it has left in its group ends too, and the group goes.
    pub(crate) fn bury(&self, leaf: Leaf) {
        leaf.kill();
        if leaf.remove().is_err() {
            let (delay, next_try) = (TRY_AGAIN_AFTER, Instant::now() + TRY_AGAIN_AFTER);
            lock(&self.0.graves).push(Grave { leaf, next_try, delay });
        }
    }

    /// Tries again what couldn't be removed, and says when to try next, if there is anything left.
    pub(crate) fn tidy(&self, now: Instant) -> Option<Instant> {
        let mut graves = lock(&self.0.graves);
        graves.retain_mut(|grave| {
            if grave.next_try > now {
                return true;
            }
            grave.delay = (grave.delay * 2).min(LONGEST_DELAY);
            grave.next_try = now + grave.delay;
            grave.leaf.remove().is_err()
        });
        graves.iter().map(|grave| grave.next_try).min()
    }

    /// All have ended: waits a moment for what the kernel hasn't let go yet. What stays is swept away at the next start.
    pub(crate) fn close(&self) {
        let end = Instant::now() + Duration::from_millis(200);
        while let Some(next) = self.tidy(Instant::now()).filter(|next| *next < end) {
            thread::sleep(next.saturating_duration_since(Instant::now())); // sleep: the kernel tells nobody
        }
    }

    /// Takes away what a supervisor before us has left: groups that bear our mark and in which nobody lives. (Only such
    /// ones the kernel lets go at all.)
    fn sweep(&self) {
        let Ok(groups) = fs::read_dir(&self.0.root) else { return };
        for group in groups.flatten() {
            let is_ours = group.file_name().to_string_lossy().starts_with(PREFIX);
            if is_ours && group.file_type().is_ok_and(|kind| kind.is_dir()) && fs::remove_dir(group.path()).is_ok() {
                later!(debug, "an empty control group of an earlier run was removed: {}", group.path().display());
            }
        }
    }
}

/// A name that is one path component, can't be taken for a file of the kernel's, and isn't longer than a name may be.
fn safe(name: &str) -> String {
    let safe = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    name.chars().take(100).map(safe).collect()
}

fn make(group: &Path) -> Result<(), NoTree> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make", group)(error)),
        _ => Ok(()),
    }
}

/// Writes to a file of the kernel's, in one piece as it wants it. It makes none: where there is no such file, there is no
/// such thing.
fn write(file: &Path, text: &str) -> Result<(), NoTree> {
    let written = fs::File::options()
        .write(true)
        .open(file)
        .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(failed("write to", file))
}

#[cfg(test)]
mod tests;
