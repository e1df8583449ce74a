//! The suites against the documentation of the ports: each sentence of a port is quoted in its
//! suite, as a case or in the head among those that can't be checked, and each case quotes what
//! the documentation says. Never runs a suite.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use std::fs;
use std::path::{Path, PathBuf};

/// A suite and the items of `replication` whose documentation is its contract.
const SUITES: [(&str, &[&str]); 5] = [
    ("catalog", &["trait Catalog", "enum CatalogEvent", "struct Snapshot"]),
    (
        "target",
        &[
            "trait Target",
            "enum CallError",
            "enum Ddl",
            "struct TargetCollection",
            "struct TargetPartition",
        ],
    ),
    ("sink", &["trait Sink"]),
    ("source", &["trait Source", "trait ChannelReader", "struct Record"]),
    ("store", &["trait Store", "struct Stored", "struct Transaction", "enum Committed"]),
];

#[test]
fn each_sentence_of_a_port_is_quoted_in_its_suite() {
    for (suite, items) in SUITES {
        let quoted = plain(&text_of(suite));
        for item in items {
            let all = sentences(&documentation(item).join("\n"));
            assert!(!all.is_empty(), "{item} is not documented");
            for sentence in all {
                assert!(
                    quoted.contains(&sentence),
                    "{suite}.rs neither checks nor lists this sentence of {item}: {sentence}"
                );
            }
        }
    }
}

#[test]
fn each_case_quotes_the_documentation_of_its_port() {
    for (suite, items) in SUITES {
        let documentation: Vec<_> =
            items.iter().flat_map(|item| documentation(item)).map(|text| plain(&text)).collect();
        let quotes = quotes(&text_of(suite));
        assert!(quotes.len() > 3, "{suite}.rs quotes nothing");
        for sentence in quotes.iter().flat_map(|quote| sentences(quote)) {
            assert!(
                documentation.iter().any(|text| text.contains(&sentence)),
                "{suite}.rs quotes what no port says any more: {sentence}"
            );
        }
    }
}

fn text_of(suite: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    fs::read_to_string(folder.join(suite).with_extension("rs")).unwrap()
}

/// The documentation of an item and of what is directly in it, each piece by itself.
fn documentation(item: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../replication/src");
    let is_declaration = |line: &&str| {
        let rest = line.strip_prefix("pub ").and_then(|line| line.strip_prefix(item));
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let texts = files(&folder).into_iter().map(|file| fs::read_to_string(file).unwrap());
    let mut declaring = texts.filter(|text| text.lines().any(|line| is_declaration(&line)));
    let text = declaring.next().unwrap_or_else(|| panic!("no {item} in {}", folder.display()));
    let lines: Vec<_> = text.lines().collect();
    let at = lines.iter().position(is_declaration).unwrap();
    let is_above = |line: &&&str| line.starts_with("///") || line.starts_with("#[");
    let above = lines[..at].iter().rev().take_while(is_above).count();
    let inside = lines[at..].iter().take_while(|line| **line != "}");
    let inside = inside.filter_map(|line| line.strip_prefix("    "));
    let mut pieces = vec![String::new()];
    for line in lines[at - above..at].iter().copied().chain(inside) {
        match line.strip_prefix("///") {
            Some(text) => pieces.last_mut().unwrap().extend([text, "\n"]),
            None => pieces.push(String::new()),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn sentences(text: &str) -> Vec<String> {
    let text = plain(text);
    text.split_inclusive(". ").map(|sentence| sentence.trim().to_owned()).collect()
}

/// Without the marks of comments and the line ends.
fn plain(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim();
        let line = line.trim_start_matches('/').trim_start_matches('!');
        line.strip_suffix('\\').unwrap_or(line)
    });
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// What the cases quote: texts that are given to `case`, by name or as they are.
fn quotes(text: &str) -> Vec<String> {
    let after = |mark: &str| {
        let behind = text.split(mark).skip(1).map(str::trim_start).map(str::to_owned);
        behind.collect::<Vec<_>>()
    };
    let texts = after("cases.case(").into_iter().chain(after("let sentence ="));
    let quoted = texts.filter_map(|text| Some(plain(text.strip_prefix('"')?.split('"').next()?)));
    quoted.collect()
}
