//! Schemathesis from PyPI, which tests an HTTP API against its own document. Never runs it.

use super::folder::{Folder, Part};
use super::python_venv;
use crate::error::Result;
use std::path::Path;

/// Every package, at the version that was tried.
const PACKAGES: &str = include_str!("schemathesis.txt");

/// Grows with every change of the packages.
pub(super) const PART: Part = Part { name: "schemathesis", version: "4.32.5" };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    python_venv::make(folder, unfinished, PACKAGES)
}
