//! `./x check`: what can be said about the code without servers. `./x test` does the same, so that
//! nothing passes here and fails there.

use std::process::{Command, Stdio};
use std::thread;

use crate::cargo::cargo;
use crate::command::{self, Result};
use crate::deploy;
use crate::steps::{Steps, meanwhile};
use crate::structure;
use crate::suites::Suite;

/// The command.
pub(crate) fn run() -> Result<()> {
    Steps::all(|steps| {
        prepare(steps)?;
        thread::scope(|scope| {
            let programs = meanwhile(scope, install_programs);
            build(steps)?;
            steps.join("what the tests need", programs)
        })?;
        test(steps)
    })
}

/// What has to be there before the code can be looked at.
pub(crate) fn prepare(steps: &mut Steps) -> Result<()> {
    steps.step("build packages", || Ok(lab::install_build_packages()?))?;
    steps.step("format and lint programs", install_components)
}

/// Format, lints, and everything built that the tests need.
pub(crate) fn build(steps: &mut Steps) -> Result<()> {
    steps.cargo("format", &["fmt", "--all", "--check"])?;
    steps.step("structure of the sources", structure::run)?;
    let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    steps.cargo("lints", &lints)?;
    // Always the whole workspace: with a part of it, the dependencies would be built once more with
    // other features.
    steps.cargo("build", &["build", "--workspace", "--bins", "--tests"])
}

/// What the tests that need no servers run besides the code.
pub(crate) fn install_programs() -> Result<()> {
    lab::install_schemathesis()?;
    lab::install_example_packages()?;
    Ok(lab::install_deploy_tools().map(drop)?)
}

/// The tests that need no servers.
pub(crate) fn test(steps: &mut Steps) -> Result<()> {
    steps.tests(&Suite::without_servers()?)?;
    steps.tests(&Suite::of_documentation())?;
    deploy::run_steps(steps)
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
    command::run(Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
}
