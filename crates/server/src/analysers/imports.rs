//! Which modules a Python file imports from its own folder, by what is written in it.
//!
//! By its text, and not by what a process has loaded: a file that can't be imported just now, because of an error in what it
//! imports, is the one whose saving is waited for. What is imported by a name that is computed isn't seen.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use super::saved::{Stamp, stamp};

/// A file, and what it, and they, import from its folder.
pub(super) struct Family {
    file: PathBuf,
    /// What is imported is looked for there.
    folder: PathBuf,
    /// What each imports, and in which state it did.
    read: HashMap<PathBuf, (Stamp, Vec<PathBuf>)>,
}

/// A folder with more than so many modules is no analyser's own.
const MOST: usize = 1000;

/// Larger ones aren't written by hand.
const LARGEST_BYTES: u64 = 1 << 20;

impl Family {
    pub(super) fn of(file: PathBuf) -> Self {
        let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
        Self { file, folder, read: HashMap::new() }
    }

    /// All of them, the file first; also where a module would be that isn't there yet.
    pub(super) fn members(&mut self) -> Vec<PathBuf> {
        let (mut members, mut known) = (vec![self.file.clone()], HashSet::from([self.file.clone()]));
        let mut next = 0;
        while next < members.len() && members.len() < MOST {
            let member = members[next].clone();
            members.extend(self.imported_by(&member).iter().filter(|file| known.insert((*file).clone())).cloned());
            next += 1;
        }
        self.read.retain(|file, _| known.contains(file));
        members
    }

    fn imported_by(&mut self, file: &Path) -> &[PathBuf] {
        let Some(now) = stamp(file) else {
            self.read.remove(file);
            return &[];
        };
        if self.read.get(file).is_none_or(|(then, _)| *then != now) {
            let is_small = fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() <= LARGEST_BYTES);
            let text = if is_small { fs::read(file).unwrap_or_default() } else { Vec::new() };
            let files = places(&String::from_utf8_lossy(&text), file, &self.folder);
            self.read.insert(file.to_owned(), (now, files));
        }
        self.read.get(file).map_or(&[], |(_, files)| files)
    }
}

/// Where all that `text`, which is `file`'s, imports would be, if it is in `folder`.
fn places(text: &str, file: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    for module in modules(text) {
        let name = module.trim_start_matches('.');
        let base = match module.len() - name.len() {
            0 => Some(folder),
            // One point is the package that the file is in, two the one around that, …
            levels => file.ancestors().nth(levels).filter(|base| base.starts_with(folder)),
        };
        let Some(base) = base else { continue };
        let mut place = base.to_owned();
        if name.is_empty() {
            places.push(place.join("__init__.py"));
        }
        for part in name.split('.').filter(|part| !part.is_empty()) {
            place.push(part);
            places.extend([place.with_added_extension("py"), place.join("__init__.py")]);
        }
    }
    places
}

/// The names of the modules that are imported, those of a package with its points before. `from a import b` may be of a
/// module `a.b`, or of something in `a`.
fn modules(text: &str) -> Vec<String> {
    let without_comments: Vec<&str> = text.lines().map(|line| line.split('#').next().unwrap_or_default()).collect();
    let text = without_comments.join("\n").replace("\\\n", " ");
    let mut modules = Vec::new();
    let mut statements = text.split(['\n', ';', ':']).map(str::trim);
    while let Some(statement) = statements.next() {
        if let Some(names) = statement.strip_prefix("import ") {
            modules.extend(listed(names));
        } else if let Some((from, names)) = statement.strip_prefix("from ").and_then(at_import) {
            let (from, mut names) = (from.trim(), names.trim().to_owned());
            if names.starts_with('(') && !names.contains(')') {
                for line in statements.by_ref() {
                    names.push_str(line);
                    if line.contains(')') {
                        break;
                    }
                }
            }
            let point = if from.ends_with('.') { "" } else { "." };
            modules.push(from.to_owned());
            modules.extend(listed(names.trim_matches(['(', ')'])).map(|name| format!("{from}{point}{name}")));
        }
    }
    modules
}

/// What stands before and behind the word `import`, which may be a part of a name too.
fn at_import(text: &str) -> Option<(&str, &str)> {
    let ends = |before: &str| before.ends_with(|it: char| it.is_whitespace() || it == '.');
    let begins = |behind: &str| behind.starts_with(|it: char| it.is_whitespace() || "(*".contains(it));
    let found = text.match_indices("import").map(|(at, word)| (&text[..at], &text[at + word.len()..]));
    found.into_iter().find(|(before, behind)| ends(before) && begins(behind))
}

/// The names of a list: `a, b as c`.
fn listed(names: &str) -> impl Iterator<Item = String> {
    let first = |name: &str| name.split_whitespace().next().map(str::to_owned);
    let is_name = |name: &String| name.chars().all(|it| it.is_alphanumeric() || "_.".contains(it));
    names.split(',').filter_map(first).filter(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_however_they_are_written() {
        let text = "
import os, a.b as c  # import d
from e import f
from g import (  # several
    h,
    i as j,
)
try: import k; import l
except ImportError: pass
    from . import m
from ..n import *
from o import \\
    p
imported = 1
from importers import q
from r.import_tools import(s)
from .import t
";
        let found = modules(text);
        let expected = [
            "os",
            "a.b",
            "e",
            "e.f",
            "g",
            "g.h",
            "g.i",
            "k",
            "l",
            ".",
            ".m",
            "..n",
            "o",
            "o.p",
            "importers",
            "importers.q",
            "r.import_tools",
            "r.import_tools.s",
            ".",
            ".t",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_module_is_looked_for_in_the_folder_and_nowhere_else() {
        let places = |text: &str, file: &str| -> Vec<String> {
            let places = places(text, Path::new(file), Path::new("/blocks"));
            places.iter().map(|place| place.display().to_string()).collect()
        };
        assert_eq!(places("import a", "/blocks/x.py"), ["/blocks/a.py", "/blocks/a/__init__.py"]);
        assert_eq!(
            places("import a.b", "/blocks/p/x.py"),
            ["/blocks/a.py", "/blocks/a/__init__.py", "/blocks/a/b.py", "/blocks/a/b/__init__.py"]
        );
        assert_eq!(places("from .a import b", "/blocks/p/x.py")[0], "/blocks/p/a.py");
        assert_eq!(places("from . import a", "/blocks/p/x.py")[0], "/blocks/p/__init__.py");
        assert_eq!(places("from ..a import b", "/blocks/p/x.py")[0], "/blocks/a.py");
        assert!(places("from ... import a", "/blocks/p/x.py").is_empty(), "outside");
        assert!(places("import ../../etc/passwd, a/b", "/blocks/x.py").is_empty(), "no names");
    }
}
