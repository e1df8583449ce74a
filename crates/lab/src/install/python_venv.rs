//! Packages of PyPI in a virtual environment of their own, every one at the version that a list
//! names. Never installs anything into another Python.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::folder::{self, Folder};
use crate::error::Result;
use crate::processes::tool;

const MAKE_WITHIN: Duration = Duration::from_secs(120);
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);

/// Makes the environment. The list has every package, also those that others need.
pub(super) fn make(at: &Folder, unfinished: &Path, list: &str) -> Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(unfinished);
    tool::run(&mut venv, MAKE_WITHIN)?;
    let packages = unfinished.join("packages.txt");
    folder::write(&packages, list)?;
    let mut pip = Command::new(unfinished.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--cache-dir"])
        .arg(at.cache("pip"))
        .arg("--requirement")
        .arg(&packages);
    tool::run(&mut pip, DOWNLOAD_WITHIN).map(drop)
}
