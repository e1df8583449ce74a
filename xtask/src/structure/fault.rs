//! The sources, and what is wrong with one of them. Never checks anything.

use std::collections::BTreeMap;
use std::fmt;

/// The sources by their path below the repository's root, with slashes.
pub(super) type Tree = BTreeMap<String, String>;

/// Something that must not stay as it is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    pub(super) path: String,
    pub(super) line: usize,
    /// What is wrong, and what to do.
    pub(super) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}
