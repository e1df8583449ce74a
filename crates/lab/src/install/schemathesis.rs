//! Schemathesis from PyPI, which tests an HTTP API against its own document: a virtual environment
//! of its own, every package at a fixed version. Never installs anything into another Python.

use super::folder::{self, Folder, Part};
use crate::error::Result;
use crate::processes::tool;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Every package, at the version that was tried.
const PACKAGES: &str = include_str!("schemathesis.txt");

const MAKE_WITHIN: Duration = Duration::from_secs(120);
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);

/// Grows with every change of the packages.
pub(super) const PART: Part = Part { name: "schemathesis", version: "4.32.5" };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(unfinished);
    tool::run(&mut venv, MAKE_WITHIN)?;
    let packages = unfinished.join("packages.txt");
    folder::write(&packages, PACKAGES)?;
    let mut pip = Command::new(unfinished.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--cache-dir"])
        .arg(folder.cache("pip"))
        .arg("--requirement")
        .arg(&packages);
    tool::run(&mut pip, DOWNLOAD_WITHIN).map(drop)
}
