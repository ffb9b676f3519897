//! The files of the project.

use std::{
    env, fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::{Outcome, program};

/// The workspace: the parent of this package's folder.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        // What `cargo run` says now, before what was built in: a program from a shared target folder may be another
        // clone's.
        let here = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        here.parent().map(Path::to_owned).unwrap_or(here)
    });
    &ROOT
}

/// A tracked file.
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// How large it is.
    pub bytes: u64,
    /// What is in it, if it is text.
    pub text: Option<String>,
}

/// All that git tracks or would (so that a new file is checked before it is committed), and that is there.
pub fn files() -> Outcome<Vec<File>> {
    let names = program::output(&mut program::git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let mut files = Vec::new();
    for path in names.split_terminator('\0') {
        let whole: PathBuf = root().join(path);
        // A file that was deleted but not yet committed is listed all the same.
        let Ok(bytes) = fs::read(&whole) else { continue };
        let (size, text) = (bytes.len() as u64, String::from_utf8(bytes).ok());
        files.push(File { path: path.to_owned(), bytes: size, text });
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    Ok(files)
}
