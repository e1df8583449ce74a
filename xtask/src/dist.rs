//! `./x dist`: the binary to hand out, of this machine's processor. Static, stripped, and not
//! called done before it was seen to be so and has started. Never cross-compiles: the other
//! processor builds its own.

use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cargo::cargo;
use crate::command::{self, Result};

/// MiB; what is aimed at for the whole service.
const SIZE_MAX: u64 = 40;

/// Any valid configuration.
const CONFIGURATION: &str = "deploy/systemd/cdc.yaml";

/// The command.
pub(crate) fn run() -> Result<()> {
    lab::install_static_build_packages()?;
    let target = format!("{ARCH}-unknown-linux-musl");
    command::run(Command::new("rustup").args(["target", "add", &target]))?;
    command::run(&mut build(&target))?;
    let binary = built(&target)?;
    needs_nothing(&binary)?;
    starts(&binary)?;
    let size = std::fs::metadata(&binary)?.len();
    let mib = size as f64 / f64::from(1 << 20);
    println!("{}: static, {mib:.1} MiB of at most {SIZE_MAX}", binary.display());
    if size > SIZE_MAX << 20 { Err("the binary has become too large".into()) } else { Ok(()) }
}

fn build(target: &str) -> Command {
    let mut build = cargo();
    build.args(["build", "--profile", "dist", "--target", target]);
    build.args(["--package", "server", "--bin", "milvus-cdc"]);
    let variable = |name: &str| format!("{name}_{}", target.replace('-', "_"));
    build
        .env(variable("CC"), "musl-gcc")
        // librdkafka also builds its C++ interface, which nothing links.
        .env(variable("CXX"), "g++")
        // It includes a header of curl without using curl; musl's own headers go first.
        .env(variable("CFLAGS"), format!("-idirafter /usr/include/{ARCH}-linux-gnu"));
    build
}

fn built(target: &str) -> Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("..").canonicalize()?;
    Ok(folder.join(target).join("dist/milvus-cdc"))
}

/// It names no library and no loader.
fn needs_nothing(binary: &Path) -> Result<()> {
    let mut readelf = Command::new("readelf");
    let listed =
        command::output(readelf.args(["--dynamic", "--program-headers", "--wide"]).arg(binary))?;
    match listed.lines().find(|line| line.contains("(NEEDED)") || line.contains("INTERP")) {
        None => Ok(()),
        Some(line) => Err(format!("{} is not static: {}", binary.display(), line.trim()).into()),
    }
}

/// With nothing around it: no environment, and no configuration but the one named.
fn starts(binary: &Path) -> Result<()> {
    let command = |arguments: &[&str]| {
        let mut command = Command::new(binary);
        command.env_clear().args(arguments).stdin(Stdio::null());
        command::run(&mut command)
    };
    command(&["--version"])?;
    command(&["serve", "--check-config", "--config", CONFIGURATION])
}
