//! The target folder, which all clones of one user share: a fresh clone finds the dependencies built.
//!
//! Cargo names a workspace's artifacts by paths inside the workspace, and tells by times whether they are fresh. So
//! it takes another clone's newer build for ours: tests would pass that test other code. Hence [`claim`].

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use crate::{
    Outcome,
    program::{cargo, run},
    tree,
};

/// What the environment names, else a folder of the user's cache; none, if there is no such place.
pub fn folder() -> Option<PathBuf> {
    if let Some(named) = env::var_os("CARGO_TARGET_DIR") {
        return Some(tree::root().join(named));
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("framewire").join("target"))
}

/// Keeps other clones from the target folder, until it is dropped or the process ends.
#[must_use]
pub struct Claim {
    /// Locked.
    lock: Option<(PathBuf, File)>,
}

/// Makes the target folder ours: waits until no other clone's chore uses it, and forgets what another clone built of
/// its own packages. The dependencies stay.
pub fn claim() -> Outcome<Claim> {
    let Some(folder) = folder() else { return Ok(Claim { lock: None }) };
    let path = folder.join(".clone");
    let failed = |error| format!("claim the target folder by {}: {error}", path.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut file = open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("Waiting for another chore that uses {}.", folder.display());
            file.lock().map_err(failed)?;
        }
        Err(TryLockError::Error(error)) => return Err(failed(error).into()),
    }
    if !is_ours(&mut file).map_err(failed)? {
        run(&mut cargo(&["clean", "--quiet", "--workspace"]))?;
        run(&mut cargo(&["clean", "--quiet", "--workspace", "--release"]))?;
        // Miri builds in a folder of its own, for a named target; what it built names the clone's folder, too.
        let miri = folder.join("miri");
        run(cargo(&["clean", "--quiet", "--workspace", "--target", "host-tuple", "--target-dir"]).arg(miri))?;
        make_ours(&mut file).map_err(failed)?;
    }
    Ok(Claim { lock: Some((folder, file)) })
}

impl Claim {
    /// The same for the one package of a workspace inside ours, in release.
    pub fn also(&self, package: &str, manifest: &str) -> Outcome {
        let Some((folder, _)) = &self.lock else { return Ok(()) };
        let path = folder.join(format!(".clone-{package}"));
        let failed = |error| format!("claim {package} by {}: {error}", path.display());
        let mut file = open(&path).map_err(failed)?;
        if !is_ours(&mut file).map_err(failed)? {
            run(&mut cargo(&["clean", "--quiet", "--release", "--manifest-path", manifest, "--package", package]))?;
            make_ours(&mut file).map_err(failed)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether it names this clone as the last that built here.
fn is_ours(file: &mut File) -> io::Result<bool> {
    let mut last = Vec::new();
    file.read_to_end(&mut last)?;
    Ok(last == this_clone())
}

fn make_ours(file: &mut File) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&this_clone())
}

/// Its folder, and when that was made where the file system knows: another clone may stand there later, with files that
/// keep the times of their commits.
fn this_clone() -> Vec<u8> {
    let root = tree::root();
    let made = fs::metadata(root).and_then(|folder| folder.created()).ok();
    let made = made.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_nanos());
    [root.as_os_str().as_encoded_bytes(), format!(" {made}").as_bytes()].concat()
}
