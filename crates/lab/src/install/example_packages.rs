//! The packages of PyPI that the examples in Python import. Never any that a user of the examples
//! does not install: the list is theirs.

use std::path::Path;

use super::folder::{Folder, Part};
use super::python_venv;
use crate::error::Result;

const PACKAGES: &str = include_str!("../../../../examples/python/requirements.txt");

/// Grows with every change of the packages.
pub(super) const PART: Part = Part { name: "example-packages", version: "1" };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    python_venv::make(folder, unfinished, PACKAGES)
}
