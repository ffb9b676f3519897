//! Files that are looked at, again and again, for whether they were saved.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::imports::Family;

/// An analyser's file, and the modules of its folder that it imports.
pub(super) struct Watched {
    family: Family,
    files: HashMap<PathBuf, Saved>,
}

impl Watched {
    pub(super) fn new(file: PathBuf) -> Self {
        let mut watched = Self { family: Family::of(file), files: HashMap::new() };
        watched.look(); // as they are now, they are known
        watched
    }

    /// Which of them was saved since the last look, if any.
    pub(super) fn look(&mut self) -> Option<PathBuf> {
        let members = self.family.members();
        self.files.retain(|file, _| members.contains(file));
        let mut saved = None;
        for member in members {
            // One that has just come to be imported isn't news itself: whoever imports it now was saved.
            let file = self.files.entry(member).or_insert_with_key(|member| Saved::new(member.clone()));
            if file.look() {
                saved = Some(file.file.clone());
            }
        }
        saved
    }
}

/// What tells one state of a file from another.
pub(super) type Stamp = (u64, i64, i64, u64);

/// A file that is being looked at.
struct Saved {
    file: PathBuf,
    known: Option<Stamp>,
    /// It was this a moment ago: who saves it may not have finished.
    settling: Option<Stamp>,
}

impl Saved {
    fn new(file: PathBuf) -> Self {
        let known = stamp(&file);
        Self { file, known, settling: None }
    }

    /// Whether it is another than it was, and has been for two looks. While it is missing, as between the two steps in which
    /// some editors save, nothing is said.
    fn look(&mut self) -> bool {
        let now = stamp(&self.file);
        if now.is_none() || now == self.known {
            self.settling = None;
            return false;
        }
        if self.settling != now {
            self.settling = now;
            return false;
        }
        self.known = now;
        true
    }
}

pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    let it = fs::metadata(file).ok()?;
    Some((it.ino(), it.mtime(), it.mtime_nsec(), it.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_told_once_and_when_it_is_over() {
        let file = std::env::temp_dir().join(format!("framewire-saved-{}.py", std::process::id()));
        fs::write(&file, "1").unwrap();
        let mut saved = Saved::new(file.clone());
        assert!(!saved.look());
        fs::write(&file, "12").unwrap();
        assert!(!saved.look(), "not at once");
        fs::write(&file, "123").unwrap();
        assert!(!saved.look(), "it is still being written");
        assert!(saved.look() && !saved.look());
        fs::remove_file(&file).unwrap();
        assert!(!saved.look() && !saved.look(), "gone isn't saved");
        fs::write(&file, "1234").unwrap();
        assert!(!saved.look() && saved.look());
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn what_a_file_imports_from_its_folder_is_watched_with_it_also_before_it_is_there() {
        let folder = std::env::temp_dir().join(format!("framewire-watched-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("parts")).unwrap();
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write("main.py", "import numpy, first\nfrom parts import wheel\n");
        write("parts/__init__.py", "");
        write("parts/wheel.py", "from .spoke import length\n");
        write("stranger.py", "");
        let mut watched = Watched::new(folder.join("main.py"));
        let saved = |watched: &mut Watched| {
            assert_eq!(watched.look(), None, "not at once");
            watched.look().map(|file| file.strip_prefix(&folder).unwrap().display().to_string())
        };
        assert_eq!(saved(&mut watched), None);
        for (name, text) in [
            ("first.py", "1"),
            ("parts/spoke.py", "length = 1"),
            ("parts/spoke.py", "length = 10"),
            ("parts/__init__.py", "2"),
            ("main.py", "import numpy, second"),
            ("second.py", "3"),
        ] {
            write(name, text);
            assert_eq!(saved(&mut watched).as_deref(), Some(name));
            assert_eq!(saved(&mut watched), None, "it is told once");
        }
        for name in ["stranger.py", "first.py", "parts/spoke.py"] {
            write(name, "saved, but imported by nobody, or not any more");
            assert_eq!(saved(&mut watched), None, "{name}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
