//! The structure of the sources, as a step of `./x check`: no import circle within a crate, the
//! order of the folders, a head in every file, no line that is too long. Never changes a file.
//!
//! `source` reads one file, `arrows` says which file takes a name from which, `circles` and
//! `layers` check these arrows, and `text` checks the text of each file.

mod arrows;
mod circles;
mod fault;
mod layers;
mod source;
mod text;

use crate::command::Result;
use fault::{Fault, Tree};
use std::fs;
use std::path::Path;

/// Where Rust sources are.
const FOLDERS: [&str; 3] = ["crates", "examples", "xtask"];

/// The step.
pub(crate) fn run() -> Result<()> {
    let tree = tree()?;
    let faults = faults(&tree);
    if faults.is_empty() {
        println!("{} files are as they should be", tree.len());
        return Ok(());
    }
    let lines: Vec<String> = faults.iter().map(Fault::to_string).collect();
    Err(format!("{} faults in the structure:\n{}", faults.len(), lines.join("\n")).into())
}

/// Everything that is wrong, sorted by place.
fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = text::faults(tree);
    match arrows::arrows(tree) {
        Ok(arrows) => {
            faults.extend(circles::faults(&arrows));
            faults.extend(layers::faults(&arrows));
        }
        Err(unreadable) => faults.push(unreadable),
    }
    faults.sort();
    faults
}

fn tree() -> Result<Tree> {
    let mut tree = Tree::new();
    for folder in FOLDERS {
        let path = Path::new(folder);
        if path.is_dir() {
            collect(path, &mut tree)?;
        }
    }
    Ok(tree)
}

fn collect(folder: &Path, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, tree)?;
            }
        } else if name.ends_with(".rs") {
            tree.insert(path.to_string_lossy().into_owned(), fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of files; each gets a head.
    pub(super) fn tree_of(files: &[(&str, &str)]) -> Tree {
        let file = |(path, text): &(&str, &str)| ((*path).to_owned(), format!("//! It.\n{text}"));
        files.iter().map(file).collect()
    }

    #[test]
    fn a_sound_tree_has_no_faults() {
        let tree = tree_of(&[
            ("crates/a/src/lib.rs", "mod b;\nmod c;\npub use b::B;"),
            ("crates/a/src/b.rs", "use crate::c::C;\npub struct B(C);"),
            ("crates/a/src/c.rs", "pub struct C;"),
        ]);
        assert_eq!(faults(&tree), []);
    }

    #[test]
    fn faults_of_every_kind_are_reported_together_by_place() {
        let mut tree = tree_of(&[
            ("crates/a/src/lib.rs", "mod b;\nmod c;"),
            ("crates/a/src/b.rs", "use crate::c::C;\npub struct B(C);"),
            ("crates/a/src/c.rs", "use crate::b::B;\npub struct C(B);"),
        ]);
        tree.insert("crates/a/tests/t.rs".to_owned(), "fn t() {}".to_owned());
        let faults = faults(&tree);
        let places: Vec<_> = faults.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(places, [("crates/a/src/b.rs", 2), ("crates/a/tests/t.rs", 1)]);
    }

    #[test]
    fn a_file_that_is_not_rust_is_named() {
        let faults = faults(&tree_of(&[("crates/a/src/lib.rs", "fn a( {")]));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].to_string().starts_with("crates/a/src/lib.rs:"), "{}", faults[0]);
    }
}
