//! Which crate may know which: the table of ARCHITECTURE.md.

use std::collections::BTreeMap;

use super::{Finding, metadata::Package};

/// Every crate, and those of ours that it may be built with. Arrows point only down.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "framewire-server",
        &["framewire-blocks", "framewire-graph", "framewire-media", "framewire-shm", "framewire-process"],
    ),
    ("framewire-blocks", &["framewire-graph", "framewire-media"]),
    ("framewire-graph", &["framewire-process", "framewire-shm"]),
    ("framewire-media", &[]),
    ("framewire-process", &["framewire-shm", "framewire-process-macros"]),
    ("framewire-process-macros", &[]),
    ("framewire-shm", &[]),
    (
        "framewire-python",
        &["framewire-blocks", "framewire-graph", "framewire-media", "framewire-process", "framewire-shm"],
    ),
    ("framewire-bench", &["framewire-shm", "framewire-process"]),
    ("framewire-bench-process", &["framewire-bench", "framewire-shm", "framewire-process"]),
    ("framewire-soak", &["framewire-shm"]),
    ("xtask", &["framewire-shm", "framewire-process"]),
];

/// Finds every edge that the table doesn't have, and every crate that it doesn't know.
pub fn check(ours: &[Package], manifests: &BTreeMap<&str, &str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in ours {
        let at = |name: &str, what: String| {
            Finding::new(&package.manifest, line_of(manifests.get(package.manifest.as_str()).copied(), name), what)
        };
        let Some(allowed) = allowed(&package.name) else {
            let what = format!(
                "{} is in no row of the table in ARCHITECTURE.md; add it there and in xtask/src/tidy/edges.rs",
                package.name
            );
            findings.push(at(&package.name, what));
            continue;
        };
        for name in ours_among(&package.dependencies, ours).filter(|name| !allowed.contains(name)) {
            let what = format!(
                "{} may not depend on {name}: ARCHITECTURE.md has no such edge; reach it through {}, or argue for the edge there",
                package.name,
                if allowed.is_empty() { "a caller".to_owned() } else { allowed.join(", ") },
            );
            findings.push(at(name, what));
        }
    }
    findings
}

/// The edges that only tests have and the table hasn't: allowed, but good to know.
pub fn looser_in_tests(ours: &[Package]) -> Vec<(&str, &str)> {
    let mut looser = Vec::new();
    for Package { name, test_dependencies, .. } in ours {
        let allowed = allowed(name).unwrap_or_default();
        for other in ours_among(test_dependencies, ours) {
            if other != name && !allowed.contains(&other) {
                looser.push((name.as_str(), other));
            }
        }
    }
    looser
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().find(|(package, _)| *package == name).map(|(_, allowed)| *allowed)
}

fn ours_among<'p>(names: &'p [String], ours: &'p [Package]) -> impl Iterator<Item = &'p str> {
    names.iter().map(String::as_str).filter(|name| ours.iter().any(|package| package.name == *name))
}

/// Where a manifest names a package: whole, or as its key (`framewire-shm` is `shm` there).
fn line_of(manifest: Option<&str>, name: &str) -> usize {
    let key = name.trim_start_matches("framewire-");
    let names = |line: &str| {
        let is_key = |rest: &str| rest.trim_start().starts_with(['.', '=']);
        line.contains(&format!("\"{name}\"")) || line.strip_prefix(key).or(line.strip_prefix(name)).is_some_and(is_key)
    };
    manifest.and_then(|manifest| manifest.lines().position(names)).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[&str], test_dependencies: &[&str]) -> Package {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Package {
            name: name.to_owned(),
            manifest: format!("{name}/Cargo.toml"),
            dependencies: owned(dependencies),
            test_dependencies: owned(test_dependencies),
            ..Package::default()
        }
    }

    #[test]
    fn an_edge_upwards_is_found_where_it_stands() {
        let ours = [
            package("framewire-shm", &["serde", "framewire-graph"], &[]),
            package("framewire-graph", &["framewire-shm"], &["framewire-media"]),
            package("framewire-media", &["bytes"], &[]),
        ];
        let manifest = "[dependencies]\nserde = \"1\"\ngraph.workspace = true\n";
        let found = check(&ours, &BTreeMap::from([("framewire-shm/Cargo.toml", manifest)]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("framewire-shm/Cargo.toml", 3));
        assert!(found[0].what.contains("framewire-shm may not depend on framewire-graph"), "{}", found[0]);
        assert_eq!(looser_in_tests(&ours), [("framewire-graph", "framewire-media")]);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let found = check(&[package("framewire-new", &[], &[])], &BTreeMap::new());
        assert!(found.len() == 1 && found[0].what.contains("no row"), "{found:?}");
    }
}
