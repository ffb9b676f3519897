//! A folder for temporary files that no other run has: tests name theirs by process numbers, which are the same in each
//! container that starts anew, and what a killed run has left would be in the way of all later ones.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::PathBuf,
    process::Command,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::Outcome;

static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The folder, until this is dropped. All programs that this one runs from now on have it.
#[must_use]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it, below the one that is there for all.
    pub fn create() -> Outcome<Self> {
        // Short: there may be sockets in it, whose paths have no more than 107 bytes.
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let path = env::temp_dir().join(format!("framewire-{now:x}"));
        let failed = |error| format!("make the folder {} for temporary files: {error}", path.display());
        fs::DirBuilder::new().mode(0o755).create(&path).map_err(failed)?;
        // Whatever our mask for new files is: some tests are other users.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let path = FOLDER.get_or_init(|| path).clone();
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("warning: could not remove {}: {error}", self.0.display());
        }
    }
}

/// Tells a program of the folder, if there is one.
pub fn told(command: &mut Command) -> &mut Command {
    match FOLDER.get() {
        Some(folder) => command.env("TMPDIR", folder),
        None => command,
    }
}
