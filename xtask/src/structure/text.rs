//! What the text of a file must have, whatever it says: a head, and lines that fit. Never reads
//! Rust.

use super::fault::{Fault, Tree};

/// As `rustfmt.toml` has it, which leaves comments and texts alone.
const COLUMNS_MAX: usize = 100;

pub(super) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree {
        let fault = |line, what| Fault { path: path.clone(), line, what };
        if !text.starts_with("//! ") {
            let what = "no head; begin the file with `//!`, what it is and what it never does";
            faults.push(fault(1, what.to_owned()));
        }
        for (number, line) in text.lines().enumerate() {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                let what = format!("{columns} columns; break the line, {COLUMNS_MAX} are allowed");
                faults.push(fault(number + 1, what));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn places(text: &str) -> Vec<usize> {
        let tree = Tree::from([("crates/a/tests/t.rs".to_owned(), text.to_owned())]);
        faults(&tree).into_iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn a_file_begins_with_its_head() {
        assert_eq!(places("//! A test.\n\nfn t() {}\n"), NONE);
        assert_eq!(places("fn t() {}\n"), [1]);
        assert_eq!(places("// A test.\n//! Its head.\n"), [1]);
        assert_eq!(places(""), [1]);
    }

    #[test]
    fn a_line_has_100_columns_at_most_comments_and_texts_included() {
        let line = |columns: usize| format!("//! It.\n// {}\n", "ü".repeat(columns - 3));
        assert_eq!(places(&line(100)), NONE);
        assert_eq!(places(&line(101)), [2]);
        assert_eq!(
            places(&format!("//! It.\nconst A: &str = r#\"\n{}\"#;\n", "x".repeat(99))),
            [3]
        );
    }
}
