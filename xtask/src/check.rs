//! `./x check`: what can be said about the code without servers. The beginning of `./x test`, so
//! that nothing passes here and fails there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::deploy;
use crate::steps::{self, Steps, cargo};
use crate::test::NEED_SERVERS;

/// Format, lints, and the tests that need no servers.
pub(crate) fn run_steps(steps: &mut Steps) -> Result<()> {
    steps.step("build packages", || Ok(lab::install_build_packages()?))?;
    steps.step("format and lint programs", install_components)?;
    steps.cargo("format", &["fmt", "--all", "--check"])?;
    let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    steps.cargo("lints", &lints)?;
    // Always the whole workspace: with a part of it, the dependencies would be built once more with
    // other features.
    steps.cargo("build", &["build", "--workspace", "--bins", "--tests"])?;
    steps.step("tester of the HTTP API", || Ok(lab::install_schemathesis().map(drop)?))?;
    let tests = tests_without_servers()?;
    let mut arguments = vec!["test", "--workspace", "--lib", "--bins"];
    arguments.extend(tests.iter().flat_map(|test| ["--test", test]));
    steps.cargo("unit and simulation tests", &arguments)?;
    steps.cargo("examples in the documentation", &["test", "--workspace", "--doc"])?;
    deploy::run_steps(steps)
}

/// The command.
pub(crate) fn run() -> Result<()> {
    let mut steps = Steps::begin();
    run_steps(&mut steps)?;
    steps.print_times();
    Ok(())
}

/// All test programs of the workspace but those that are named as needing servers: a new one is run
/// without being named anywhere.
fn tests_without_servers() -> Result<BTreeSet<String>> {
    let mut tests = BTreeSet::new();
    for package in entries(Path::new("crates"))? {
        for entry in entries(&package.join("tests")).unwrap_or_default() {
            let is_test =
                entry.extension().is_some_and(|it| it == "rs") || entry.join("main.rs").is_file();
            let name = entry.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let needs_servers = NEED_SERVERS.iter().any(|suite| suite.tests.contains(&&*name));
            if is_test && !needs_servers {
                tests.insert(name);
            }
        }
    }
    Ok(tests)
}

fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

fn install_components() -> Result<()> {
    let is_there = |program: &str| {
        let mut command = cargo();
        command.args([program, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if is_there("fmt") && is_there("clippy") {
        return Ok(());
    }
    steps::run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
}
