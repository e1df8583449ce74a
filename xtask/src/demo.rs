//! `./x demo`: a replication on real servers to look at. Installs and builds what it takes, then
//! hands over to the demo program of the test kit.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::cargo::cargo;
use crate::command::{self, Result};

/// The command; with `keep`, all of it goes on running at the end.
pub(crate) fn run(keep: bool) -> Result<()> {
    lab::install_build_packages()?;
    lab::install_servers()?;
    command::run(cargo().args(["build", "--workspace", "--bins"]))?;
    // Cargo has built it beside us.
    let mut demo = Command::new(std::env::current_exe()?.with_file_name("demo"));
    if keep {
        demo.arg("--keep");
    }
    // It takes our place, so that it gets the signals.
    Err(demo.exec().into())
}
