//! `./x lab`: the real servers by hand. Only hands over to the lab's own program.

use std::os::unix::process::CommandExt;

use crate::cargo::cargo;
use crate::command::Result;

/// Becomes the lab's program, so that it gets the signals.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "lab", "--"]).args(arguments);
    Err(command.exec().into())
}
