//! What Cargo knows about the packages.

use serde_json::Value;

use crate::{Outcome, program, tree};

/// All packages that the workspace is built from.
pub struct Metadata {
    /// The workspace's own.
    pub ours: Vec<Package>,
    /// Those of others: name, version, licence expression.
    pub foreign: Vec<(String, String, Option<String>)>,
}

/// A package of the workspace.
#[derive(Debug, Default)]
pub struct Package {
    pub name: String,
    /// Its `Cargo.toml`, from the root of the tree.
    pub manifest: String,
    /// The sources that are a library, a program or a macro, from the root of the tree.
    pub roots: Vec<String>,
    pub is_macro: bool,
    /// Names of the packages it is built with.
    pub dependencies: Vec<String>,
    /// Names of the packages that its tests need on top.
    pub test_dependencies: Vec<String>,
}

impl Metadata {
    /// Asks `cargo metadata`.
    pub fn read() -> Outcome<Self> {
        let metadata = program::output(&mut program::cargo(&["metadata", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let (mut ours, mut foreign) = (Vec::new(), Vec::new());
        for package in array(&metadata["packages"]) {
            if package["source"].is_null() {
                ours.push(Package::from(package));
            } else {
                let licence = package["license"].as_str().map(str::to_owned);
                foreign.push((text(&package["name"]), text(&package["version"]), licence));
            }
        }
        Ok(Self { ours, foreign })
    }
}

impl From<&Value> for Package {
    fn from(package: &Value) -> Self {
        let named = |tests: bool| {
            let dependencies = array(&package["dependencies"]).iter();
            dependencies.filter(move |one| (one["kind"] == "dev") == tests).map(|one| text(&one["name"])).collect()
        };
        let is = |target: &Value, kinds: &[&str]| {
            array(&target["kind"]).iter().any(|kind| kinds.iter().any(|one| kind == one))
        };
        let targets = array(&package["targets"]);
        let roots = targets.iter().filter(|target| is(target, &["lib", "bin", "proc-macro", "cdylib"]));
        Self {
            name: text(&package["name"]),
            manifest: from_root(&text(&package["manifest_path"])),
            roots: roots.map(|target| from_root(&text(&target["src_path"]))).collect(),
            is_macro: targets.iter().any(|target| is(target, &["proc-macro"])),
            dependencies: named(false),
            test_dependencies: named(true),
        }
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn from_root(path: &str) -> String {
    path.strip_prefix(&*tree::root().to_string_lossy()).unwrap_or(path).trim_start_matches('/').to_owned()
}
