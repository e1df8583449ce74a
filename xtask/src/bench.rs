//! `./x bench`: how fast milvus-cdc is and what it costs, on real servers. Builds all of it
//! optimised, then hands over to the benchmark's own program.

use std::os::unix::process::CommandExt;

use crate::cargo::cargo;
use crate::command::{self, Result};

/// The command, with the program's own arguments.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    lab::install_build_packages()?;
    lab::install_servers()?;
    command::run(cargo().args(["build", "--release", "--workspace", "--bins"]))?;
    // Ours is built without optimisation, in the folder beside.
    let built = std::env::current_exe()?.with_file_name("..").join("release/bench");
    // It takes our place, so that it gets the signals.
    Err(std::process::Command::new(built).args(arguments).exec().into())
}
