//! Debian packages: what building the workspace needs, and the programs that the servers run on.
//! Never touches a package whose program is already there.

use super::folder::{Folder, lab_folder};
use crate::error::{Error, Result, While};
use crate::processes::tool;
use crate::servers::mariadb;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const PROBE_WITHIN: Duration = Duration::from_secs(30);
const APT_WITHIN: Duration = Duration::from_secs(900);

/// Pulsar 3.0 needs at least this Java.
const JAVA_MIN: u32 = 17;

/// The packages for building the whole workspace, besides Rust.
const BUILD_PACKAGES: [&str; 9] = [
    "cmake",
    "g++",
    "make",
    "pkg-config",
    "protobuf-compiler",
    "libprotobuf-dev",
    "libssl-dev",
    "libcurl4-openssl-dev",
    "zlib1g-dev",
];

/// The further packages for linking a static program.
const STATIC_BUILD_PACKAGES: [&str; 1] = ["musl-tools"];

/// A package, and a command that succeeds if its program is there, from wherever it came.
pub(super) type Program = (&'static str, &'static [&'static str]);

const JAVA: &str = "openjdk-17-jre-headless";

/// The programs that the servers run on. They are checked each time, since a lab folder may be
/// moved to another machine.
pub(super) const TO_RUN: [Program; 6] = [
    ("etcd-server", &["etcd", "--version"]),
    ("etcd-client", &["etcdctl", "version"]),
    ("util-linux", &["setpriv", "--version"]),
    (JAVA, &["java", "--version"]),
    // Without the part that sets up a service.
    ("mariadb-server-core", &[mariadb::PROGRAM, "--version"]),
    ("mariadb-client-core", &["mariadb", "--version"]),
];

pub(super) const TO_FETCH_MILVUS: [Program; 2] = [
    ("python3", &["python3", "--version"]),
    ("python3-pip", &["python3", "-m", "pip", "--version"]),
];

/// Debian's Python and a way to give it packages without touching those of the machine.
pub(super) const TO_MAKE_A_VENV: [Program; 2] = [
    ("python3", &["python3", "--version"]),
    // Debian's Python has the module `venv` without this package, but can't make one with pip.
    ("python3-venv", &["python3", "-c", "import ensurepip"]),
];

/// What the examples in shell use.
pub(super) const TO_RUN_EXAMPLES: [Program; 2] =
    [("curl", &["curl", "--version"]), ("jq", &["jq", "--version"])];

pub(super) const TO_RUN_JARS: [Program; 2] =
    [("util-linux", &["setpriv", "--version"]), (JAVA, &["java", "--version"])];

pub(super) const TO_FETCH_JARS: [Program; 1] = [("maven", &["mvn", "--version"])];

/// Installs what is missing of the packages needed to build the workspace (C libraries, cmake,
/// protoc), saying on standard output what it does.
///
/// # Errors
/// If apt-get fails or is not there.
pub fn install_build_packages() -> Result<()> {
    let missing = BUILD_PACKAGES.into_iter().filter(|package| !is_installed(package)).collect();
    install("build", missing)
}

/// Installs what is missing to build a static binary, the build needs included.
///
/// # Errors
/// If apt-get fails or is not there.
pub fn install_static_build_packages() -> Result<()> {
    let packages = BUILD_PACKAGES.into_iter().chain(STATIC_BUILD_PACKAGES);
    install("build", packages.filter(|package| !is_installed(package)).collect())
}

/// Fetches a package into a folder without installing it.
pub(super) fn download(package: &str, into: &Path) -> Result<PathBuf> {
    let _turn = Folder::open(&lab_folder())?.turn("debian")?;
    apt_get(&["update"])?;
    let mut apt = Command::new("apt-get");
    apt.args(["--quiet", "download", package]).current_dir(into);
    tool::run(&mut apt, APT_WITHIN)?;
    let files = std::fs::read_dir(into).while_doing(|| format!("list {}", into.display()))?;
    let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Error::new(format!("apt-get fetched no file of {package}")))
}

/// Installs those programs that are not there; `purpose` is only said.
pub(super) fn install_programs(purpose: &str, programs: &[Program]) -> Result<()> {
    let missing: Vec<&str> =
        programs.iter().filter(|program| !is_there(program)).map(|(package, _)| *package).collect();
    if missing.contains(&"etcd-server") {
        println!("lab: where systemd runs, etcd-server also starts an etcd of its own, unused");
    }
    install(purpose, missing)
}

fn is_there((package, probe): &Program) -> bool {
    // Java 8 knows no `--version` and so is not there either.
    probe_output(probe).is_some_and(|output| {
        *package != JAVA || parse_java_version(&output).is_some_and(|version| version >= JAVA_MIN)
    })
}

fn install(purpose: &str, missing: Vec<&str>) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    // Of two that fetch the lists of packages at the same time, one fails.
    let _turn = Folder::open(&lab_folder())?.turn("debian")?;
    println!("lab: {purpose} packages: installing {}", missing.join(" "));
    apt_get(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(missing);
    apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["--non-interactive", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // If another installation runs on this machine, it is waited for.
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=600"])
        // Settings that the user has changed stay, without a question.
        .args(["--option", "Dpkg::Options::=--force-confold"])
        .args(arguments);
    tool::run(&mut command, APT_WITHIN).map(drop)
}

fn is_installed(package: &str) -> bool {
    probe_output(&["dpkg-query", "--show", "--showformat=${db:Status-Status}", package])
        .is_some_and(|status| status == "installed")
}

fn probe_output(probe: &[&str]) -> Option<String> {
    let (program, arguments) = probe.split_first()?;
    tool::run(Command::new(program).args(arguments), PROBE_WITHIN).ok()
}

/// `openjdk 17.0.15 2025-04-15` and the like.
fn parse_java_version(output: &str) -> Option<u32> {
    let version = output.split_whitespace().nth(1)?;
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_says_its_version_in_several_ways() {
        assert_eq!(parse_java_version("openjdk 17.0.15 2025-04-15\nOpenJDK Run"), Some(17));
        assert_eq!(parse_java_version("java 21 2023-09-19 LTS"), Some(21));
        assert_eq!(parse_java_version("openjdk 24-ea 2025-03-18"), Some(24));
        assert_eq!(parse_java_version(""), None);
    }
}
