//! What stands in the files themselves, line by line.

use super::{Finding, metadata::Package};
use crate::tree::File;

/// The one crate with unsafe code.
const UNSAFE: &str = "crates/shm/";

/// What that crate is measured against: raw memory, which is nobody's safe function.
const RAW_LIMITS: &str = "bench/shm/src/raw/";

/// Where Python looks into memory: its buffer protocol is C.
const PYTHON: &str = "crates/python/";

/// Larger files make every clone slow for ever; the clips that the demo plays are worth it.
const MAX_BYTES: u64 = 1_000_000;
const MAY_BE_LARGE: &str = "media/";

// In two parts each, so that this file doesn't break its own rules.
const SLEEP: &str = concat!("thread::", "sleep");
const SLEEP_REASON: &str = concat!("// ", "sleep:");
const ALLOW: [&str; 2] = [concat!("#[", "allow("), concat!("#![", "allow(")];
const HOMES: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// Checks every file.
pub fn check(files: &[File], ours: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if file.bytes > MAX_BYTES && !file.path.starts_with(MAY_BE_LARGE) {
            let what = format!("{} bytes are too many for a clone; make it smaller, or at build time", file.bytes);
            findings.push(Finding::new(&file.path, 1, what));
        }
        let Some(text) = &file.text else { continue };
        // Lock files hold what others wrote.
        if !file.path.ends_with(".lock") && !file.path.ends_with("-lock.json") {
            findings.extend(lines(&file.path, text, names_a_home));
        }
        if file.path.ends_with(".rs") {
            // What a macro writes into others' code can't expect a lint: it doesn't know whether there is one.
            if !ours.iter().any(|package| package.is_macro && in_package(&file.path, package)) {
                findings.extend(lines(&file.path, text, allows));
            }
            findings.extend(sleeps(&file.path, text));
            if ![UNSAFE, RAW_LIMITS, PYTHON].iter().any(|folder| file.path.starts_with(folder)) {
                findings.extend(lines(&file.path, text, is_unsafe));
            }
        }
    }
    let forbidden = |root: &&String| ![UNSAFE, PYTHON].iter().any(|folder| root.starts_with(folder));
    for root in ours.iter().flat_map(|package| &package.roots).filter(forbidden) {
        let file = files.iter().find(|file| file.path == *root);
        if !file.and_then(|file| file.text.as_deref()).is_some_and(forbids_unsafe) {
            findings.push(Finding::new(
                root,
                1,
                format!("add `#![forbid(unsafe_code)]`: only {UNSAFE} has unsafe code"),
            ));
        }
    }
    findings
}

fn lines(path: &str, text: &str, rule: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let broken = text.lines().enumerate().filter_map(|(index, line)| Some(Finding::new(path, index + 1, rule(line)?)));
    broken.collect()
}

fn names_a_home(line: &str) -> Option<String> {
    // `target/work/` is a path of the tree, and `example.com/home/` an address.
    let begins =
        |at: usize| !line[..at].ends_with(|before: char| before.is_alphanumeric() || "_-.}$)*".contains(before));
    let home = HOMES.iter().find(|home| line.match_indices(**home).any(|(at, _)| begins(at)))?;
    Some(format!("names {home}…, a path of one developer's machine; say it relative to the tree or by a variable"))
}

fn allows(line: &str) -> Option<String> {
    let found = ALLOW.iter().any(|allow| line.trim_start().starts_with(allow));
    found.then(|| {
        "an allowed lint stays allowed when its cause is gone; write `#[expect(lint, reason = \"…\")]`".to_owned()
    })
}

/// A test that sleeps is slow or flaky, and production code that sleeps can't be stopped.
fn sleeps(path: &str, text: &str) -> Vec<Finding> {
    let mut previous = "";
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let reasoned = line.contains(SLEEP_REASON) || previous.trim_start().starts_with(SLEEP_REASON);
        if line.contains(SLEEP) && !reasoned {
            let what = format!("sleeps; wait for a condition with a limit, or give the reason by `{SLEEP_REASON} …`");
            findings.push(Finding::new(path, index + 1, what));
        }
        previous = line;
    }
    findings
}

/// Whether a line of a test or an example, which no `forbid` covers, has the keyword outside of comments and strings.
fn is_unsafe(line: &str) -> Option<String> {
    let code = line.split("//").next().unwrap_or_default();
    let before_strings = code.split('"').step_by(2);
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut words = before_strings.flat_map(|code| code.split(|letter| !is_word(letter)));
    words.any(|word| word == "unsafe").then(|| format!("unsafe code belongs into {UNSAFE}, behind a safe function"))
}

fn forbids_unsafe(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

fn in_package(path: &str, package: &Package) -> bool {
    package.manifest.strip_suffix("Cargo.toml").is_some_and(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_found_where_a_path_begins() {
        for path in ["cd /wo@rk/x", "\"/ho@me/me/x\"", "(/ro@ot/.cache)"] {
            assert!(names_a_home(&path.replace('@', "")).is_some(), "{path}");
        }
        for fine in ["target/wo@rk/x", "https://example.com/ho@me/", "$HOME/wo@rk/"] {
            assert_eq!(names_a_home(&fine.replace('@', "")), None, "{fine}");
        }
    }

    #[test]
    fn a_sleep_needs_a_reason_on_its_line_or_above() {
        let sleep = format!("std::{SLEEP}(LIMIT);");
        assert_eq!(sleeps("a.rs", &sleep).len(), 1);
        assert_eq!(sleeps("a.rs", &format!("{sleep} {SLEEP_REASON} pace of the clip")).len(), 0);
        assert_eq!(sleeps("a.rs", &format!("    {SLEEP_REASON} pace of the clip\n{sleep}\n{sleep}")).len(), 1);
    }

    #[test]
    fn unsafe_is_a_keyword_and_not_a_word_of_prose() {
        assert!(is_unsafe("let x = unsafe { f() };").is_some());
        for fine in ["#![forbid(unsafe_code)]", "f(); // unsafe {", "panic!(\"unsafe {}\", 1)", "unsafely();"] {
            assert_eq!(is_unsafe(fine), None, "{fine}");
        }
    }
}
