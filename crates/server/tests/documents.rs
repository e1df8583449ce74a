//! The documents of the repository: what they link to and name exists. Never judges their words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that documents name from the root.
const ROOTED: [&str; 5] = ["crates/", "deploy/", "docs/", "examples/", "xtask/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// All Markdown files.
fn documents() -> Vec<PathBuf> {
    let folders = ["", "docs", "docs/decisions", "examples"].map(|folder| root().join(folder));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|it| it == "md")).collect()
}

/// The targets of a document's links within the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let links = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    links.filter(|link| !link.contains("://"))
}

/// The paths from the root that a document names as code.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split('`').filter(|code| !code.contains([' ', '\n']));
    code.filter(|code| ROOTED.iter().any(|folder| code.starts_with(folder)))
}

/// The anchors of a document's headings, as hosts of repositories make them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_leads_to_something() {
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let place = format!("{}: {link}", document.display());
            assert!(target.exists(), "{place} leads nowhere");
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.iter().any(|it| it == anchor), "{place}: only {there:?} are there");
            }
        }
    }
}

#[test]
fn every_file_that_is_named_exists() {
    let mut named = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for path in paths(&text) {
            let fixed = path.split(['<', '*', '{', ':']).next().unwrap();
            let whole = if fixed.len() == path.len() { fixed } else { parent(fixed) };
            assert!(root().join(whole).exists(), "{}: there is no {path}", document.display());
            named += 1;
        }
    }
    assert!(named > 50, "only {named} were found");
}

/// Of a path that breaks off before a part to fill in, the folder; of one with a line, the file.
fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((folder, name)) if !name.ends_with(".rs") => folder,
        _ => path,
    }
}
