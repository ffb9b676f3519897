//! Whether we may use what we use.

use serde_json::Value;
use spdx::{Expression, ParseMode};

use super::{Finding, metadata::Metadata};
use crate::tree::File;

/// Permissive licences: who uses Framewire has no more to do than to name the authors.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
];

/// An addition to Apache-2.0 that only permits more.
const ALLOWED_EXCEPTION: &str = "LLVM-exception";

/// Packages with another licence, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    // Vite minifies style sheets with it while the page is built. Nothing of it is in what is shipped, and the MPL
    // asks something only of those who change its files.
    ("lightningcss", "MPL-2.0", "a build tool of web/"),
];

/// Checks the licences of all crates and all packages of `web/`.
pub fn check(metadata: &Metadata, files: &[File]) -> Vec<Finding> {
    let text = |path: &str| files.iter().find(|file| file.path == path).and_then(|file| file.text.as_deref());
    let mut findings = Vec::new();
    let lock = text("Cargo.lock").unwrap_or_default();
    for (name, version, licence) in &metadata.foreign {
        if let Some(why) = refuse(name, licence.as_deref()) {
            let line = line_of(lock, &format!("name = \"{name}\""));
            findings.push(Finding::new("Cargo.lock", line, format!("{name} {version} {why}")));
        }
    }
    if let Some(lock) = text(NPM_LOCK) {
        findings.extend(check_npm(lock));
    }
    findings
}

const NPM_LOCK: &str = "web/package-lock.json";

fn check_npm(lock: &str) -> Vec<Finding> {
    let parsed: Value = match serde_json::from_str(lock) {
        Ok(parsed) => parsed,
        Err(error) => {
            return vec![Finding::new(
                NPM_LOCK,
                error.line(),
                format!("isn't JSON ({error}); make it anew by `npm install`"),
            )];
        }
    };
    let packages = parsed["packages"].as_object().into_iter().flatten();
    let refused = packages.filter_map(|(path, package)| {
        // The nameless one is ourselves.
        let name = path.rsplit("node_modules/").next().filter(|name| !name.is_empty())?;
        let why = refuse(name, package["license"].as_str())?;
        Some(Finding::new(NPM_LOCK, line_of(lock, &format!("\"{path}\":")), format!("{name} {why}")))
    });
    refused.collect()
}

/// Why a package with this licence can't be used; `None` if it can.
fn refuse(name: &str, licence: Option<&str>) -> Option<String> {
    let Some(licence) = licence else {
        return Some("declares no licence; find out which it has, or use another package".to_owned());
    };
    // Old manifests write `MIT/Apache-2.0` for `OR`.
    let expression = match Expression::parse_mode(licence, ParseMode::LAX) {
        Ok(expression) => expression,
        Err(error) => {
            return Some(format!(
                "has a licence that can't be understood, `{licence}` ({}); ask its authors",
                error.reason
            ));
        }
    };
    let excepted =
        |licence: &str| EXCEPTIONS.iter().any(|(package, id, _)| is_part_of(name, package) && *id == licence);
    let fits = expression.evaluate(|required| {
        let id = required.license.id().map(|id| id.name).unwrap_or_default();
        let addition = required.addition.as_ref().map(ToString::to_string);
        match addition.as_deref() {
            None => ALLOWED.contains(&id) || excepted(id),
            Some(addition) => id == "Apache-2.0" && addition == ALLOWED_EXCEPTION,
        }
    });
    (!fits).then(|| format!("is under {licence}, which is not in the list of permissive licences; use another package, or argue for an exception in xtask/src/tidy/licences.rs"))
}

/// Whether it is that package, or the binary half of it for one platform (`lightningcss-linux-x64-gnu`).
fn is_part_of(name: &str, package: &str) -> bool {
    name.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

fn line_of(text: &str, wanted: &str) -> usize {
    text.lines().position(|line| line.trim_start().starts_with(wanted)).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_evaluated_and_not_searched() {
        for fine in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR Apache-2.0 OR LGPL-2.1-or-later",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-3.0-only OR (BSD-3-Clause AND Zlib)",
        ] {
            assert_eq!(refuse("some", Some(fine)), None, "{fine}");
        }
        for bad in [
            "GPL-3.0-only",
            "MIT AND GPL-2.0-only",
            "MPL-2.0",
            "Apache-2.0 WITH Classpath-exception-2.0",
            "SEE LICENSE IN X",
        ] {
            assert!(refuse("some", Some(bad)).is_some(), "{bad}");
        }
        assert!(refuse("some", None).is_some());
    }

    #[test]
    fn an_exception_is_for_one_package_and_its_halves() {
        assert_eq!(refuse("lightningcss", Some("MPL-2.0")), None);
        assert_eq!(refuse("lightningcss-linux-x64-gnu", Some("MPL-2.0")), None);
        assert!(refuse("lightningcssx", Some("MPL-2.0")).is_some());
        assert!(refuse("lightningcss", Some("GPL-2.0-only")).is_some());
    }

    #[test]
    fn npm_packages_are_named_with_their_line() {
        let lock = "{\n\"packages\": {\n\"\": {},\n\"node_modules/@a/b\": {\n\"license\": \"GPL-2.0-only\"},\n\
            \"node_modules/c/node_modules/d\": {\"license\": \"ISC\"}}}";
        let found = check_npm(lock);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].line == 4 && found[0].what.starts_with("@a/b is under GPL-2.0-only"), "{}", found[0]);
    }
}
