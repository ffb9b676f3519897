//! Whether the links of the documentation lead somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::Finding;
use crate::tree::{self, File};

/// Checks every relative link in every Markdown file: the file is in the tree, and has the heading.
pub fn check(files: &[File]) -> Vec<Finding> {
    let pages: BTreeMap<&str, Page> = files
        .iter()
        .filter(|file| file.path.ends_with(".md"))
        .filter_map(|file| Some((file.path.as_str(), Page::read(file.text.as_deref()?))))
        .collect();
    let is_there = |path: &str| {
        let in_folder = |file: &File| file.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        path.is_empty() || files.iter().any(|file| file.path == path || in_folder(file))
    };
    let mut findings = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            if let Some(what) = follow(path, &link.target, &pages, is_there) {
                findings.push(Finding::new(path, link.line, what));
            }
        }
    }
    findings
}

/// What is wrong with a link on the page `from`; `None` if it leads somewhere, or out of the tree by its own say.
fn follow(from: &str, target: &str, pages: &BTreeMap<&str, Page>, is_there: impl Fn(&str) -> bool) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
    let Some(path) = path else { return Some(format!("the link `{target}` leads out of the tree; use a whole URL")) };
    if !is_there(&path) {
        let ignored = if tree::root().join(Path::new(&path)).exists() { ", which git doesn't track" } else { "" };
        return Some(format!(
            "the link `{target}` leads to {path}{ignored}: no such file; mend the link or add the file"
        ));
    }
    let page = pages.get(path.as_str())?;
    let heading = heading.filter(|heading| !page.headings.contains(*heading))?;
    Some(format!("the link `{target}` names no heading of {path}; there are: {}", page.headings_near(heading)))
}

/// A link from one file to another, as a path from the root; `None` if it goes above the root.
fn resolve(from: &str, to: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let whole = if let Some(absolute) = to.strip_prefix('/') { absolute.to_owned() } else { format!("{folder}/{to}") };
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What of a Markdown file concerns links.
#[derive(Debug, Default)]
struct Page {
    links: Vec<Link>,
    /// The fragments by which its headings are reached, as the usual hosts of code make them.
    headings: BTreeSet<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    line: usize,
    target: String,
}

impl Page {
    fn read(text: &str) -> Self {
        let (mut page, mut heading, mut repeated) = (Self::default(), None, BTreeMap::new());
        for (event, range) in
            Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES).into_offset_iter()
        {
            match event {
                Event::Start(Tag::Link { dest_url: target, .. } | Tag::Image { dest_url: target, .. }) => {
                    let line = text[..range.start].matches('\n').count() + 1;
                    page.links.push(Link { line, target: target.into_string() });
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let name = fragment(&heading.take().unwrap_or_default());
                    let count = repeated.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
                    page.headings.insert(if *count == 0 { name } else { format!("{name}-{count}") });
                }
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&text);
                    }
                }
                _ => {}
            }
        }
        page
    }

    /// Those that share a word with what was looked for, or all.
    fn headings_near(&self, wanted: &str) -> String {
        let shares = |heading: &&String| wanted.split('-').any(|word| word.len() > 2 && heading.contains(word));
        let near: Vec<&str> = self.headings.iter().filter(shares).map(String::as_str).collect();
        let all = || self.headings.iter().map(String::as_str).collect();
        if near.is_empty() { all() } else { near }.join(", ")
    }
}

/// Lower case, spaces to hyphens, without what is neither letter, digit, hyphen nor underscore.
fn fragment(heading: &str) -> String {
    let kept = heading.trim().chars().flat_map(char::to_lowercase).filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# The `ring`, in short\n\nSee [a](b.md#c), ![p](../p.png) and\n[ref][r].\n\n```\n[no](x.md)\n```\n\
        `[no](y.md)`\n\n## Why\n## Why\n\n[r]: <https://example.com>\n";

    #[test]
    fn links_are_found_with_their_lines_and_code_is_left_alone() {
        let page = Page::read(PAGE);
        let links: Vec<(usize, &str)> = page.links.iter().map(|link| (link.line, link.target.as_str())).collect();
        assert_eq!(links, [(3, "b.md#c"), (3, "../p.png"), (4, "https://example.com")]);
        let headings: Vec<&str> = page.headings.iter().map(String::as_str).collect();
        assert_eq!(headings, ["the-ring-in-short", "why", "why-1"]);
    }

    #[test]
    fn a_link_is_followed_from_where_it_stands() {
        assert_eq!(resolve("docs/design/a.md", "../api.md").as_deref(), Some("docs/api.md"));
        assert_eq!(resolve("README.md", "./docs/").as_deref(), Some("docs"));
        assert_eq!(resolve("docs/a.md", "/README.md").as_deref(), Some("README.md"));
        assert_eq!(resolve("README.md", "../other"), None);
    }

    #[test]
    fn what_leads_nowhere_is_told() {
        let pages = BTreeMap::from([("docs/a.md", Page::read(PAGE))]);
        let told = |target: &str| follow("README.md", target, &pages, |path| path == "docs/a.md");
        assert_eq!(told("docs/a.md#why-1"), None);
        assert_eq!(told("https://example.com/#x"), None);
        assert!(told("docs/b.md").unwrap().contains("no such file"));
        assert!(told("docs/a.md#whyever").unwrap().contains("no heading of docs/a.md"));
        assert!(told("../x").unwrap().contains("out of the tree"));
    }
}
