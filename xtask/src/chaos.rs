//! `./x chaos`: random faults on real servers, by a seed, while rows are written. Builds the
//! service and what judges it, then hands over to the program that does it.

use std::os::unix::process::CommandExt;

use crate::cargo::cargo;
use crate::command::{self, Result};

/// The command, with the program's own arguments.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    lab::install_build_packages()?;
    lab::install_servers()?;
    // Not optimised: a fault is more often in the middle of something, and what overflows is seen.
    command::run(cargo().args(["build", "--workspace", "--bins"]))?;
    let built = std::env::current_exe()?.with_file_name("chaos");
    // It takes our place, so that it gets the signals.
    Err(std::process::Command::new(built).args(arguments).exec().into())
}
