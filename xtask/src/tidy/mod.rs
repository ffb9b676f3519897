//! `cargo xtask tidy`: the rules of the tree that no compiler checks.

mod edges;
mod licences;
mod links;
mod metadata;
mod sources;

use std::{collections::BTreeMap, fmt};

use self::metadata::Metadata;
use crate::{Outcome, tree};

/// Something that breaks a rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Checks all rules.
///
/// # Errors
///
/// How many findings there are; they are printed.
pub fn run() -> Outcome {
    let files = tree::files()?;
    let metadata = Metadata::read()?;
    let manifests: BTreeMap<&str, &str> = files
        .iter()
        .filter(|file| file.path.ends_with("Cargo.toml"))
        .filter_map(|file| Some((file.path.as_str(), file.text.as_deref()?)))
        .collect();

    let mut findings = edges::check(&metadata.ours, &manifests);
    findings.extend(licences::check(&metadata, &files));
    findings.extend(links::check(&files));
    findings.extend(sources::check(&files, &metadata.ours));
    findings.sort();
    findings.iter().for_each(|finding| println!("{finding}"));
    for (from, to) in edges::looser_in_tests(&metadata.ours) {
        println!("note: only the tests of {from} use {to}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("tidy found 1 thing to mend, named above".into()),
        count => Err(format!("tidy found {count} things to mend, named above").into()),
    }
}
