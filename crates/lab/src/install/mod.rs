//! Obtains the servers from package registries: etcd, MariaDB and Java from Debian, Milvus from
//! PyPI, Apache Kafka and Apache Pulsar from Maven; and the tools of some tests, such as Apache
//! Flink. It can be repeated: what is installed is left alone. Never writes outside the lab folder,
//! except for Debian packages.

mod debian;
mod deploy_tools;
mod example_packages;
mod flink_jars;
mod folder;
mod kafka_jars;
mod maven;
mod milvus_wheel;
mod pulsar_jars;
mod python_venv;
mod schemathesis;

use crate::error::Result;
use folder::Folder;
use std::path::PathBuf;

pub use debian::{install_build_packages, install_static_build_packages};
pub use deploy_tools::{DeployTools, install_deploy_tools};
pub use folder::lab_folder;

/// The servers' programs. To have one is to have them installed.
#[derive(Debug, Clone)]
pub struct Installed {
    /// The folder with the program `milvus`, its libraries and the template of its settings.
    pub milvus: PathBuf,
    /// The folder with Kafka's jars in `lib` and a formatted data folder in `formatted`.
    pub kafka: PathBuf,
    /// The folder with Pulsar's jars in `lib`.
    pub pulsar: PathBuf,
}

/// Installs what is missing of etcd, MariaDB, Java, Milvus, Kafka and Pulsar, saying on standard
/// output what it does. When nothing is missing it is silent and takes a fraction of a second.
///
/// # Errors
/// If a package cannot be fetched; the next run continues where this one failed.
pub fn install_servers() -> Result<Installed> {
    let folder = Folder::open(&lab_folder())?;
    let (milvus, kafka, pulsar) = (milvus_wheel::PART, kafka_jars::PART, pulsar_jars::PART);
    let mut programs = debian::TO_RUN.to_vec();
    if !folder.has(&milvus) {
        programs.extend(debian::TO_FETCH_MILVUS);
    }
    if !folder.has(&kafka) || !folder.has(&pulsar) {
        programs.extend(debian::TO_FETCH_JARS);
    }
    debian::install_programs("server", &programs)?;
    Ok(Installed {
        milvus: folder.install(&milvus, |unfinished| milvus_wheel::make(&folder, unfinished))?,
        kafka: folder.install(&kafka, |unfinished| kafka_jars::make(&folder, unfinished))?,
        pulsar: folder.install(&pulsar, |unfinished| pulsar_jars::make(&folder, unfinished))?,
    })
}

/// Installs Schemathesis if it is missing; returns the Python that has it: `python -m
/// schemathesis.cli`.
///
/// # Errors
/// If a package cannot be fetched; the next run continues where this one failed.
pub fn install_schemathesis() -> Result<PathBuf> {
    let folder = Folder::open(&lab_folder())?;
    let part = schemathesis::PART;
    if !folder.has(&part) {
        debian::install_programs("API test", &debian::TO_MAKE_A_VENV)?;
    }
    let venv = folder.install(&part, |unfinished| schemathesis::make(&folder, unfinished))?;
    Ok(venv.join("bin/python"))
}

/// Installs what the programs of `examples/` need if it is missing; returns the Python for those in
/// Python.
///
/// # Errors
/// If a package cannot be fetched; the next run continues where this one failed.
pub fn install_example_packages() -> Result<PathBuf> {
    let folder = Folder::open(&lab_folder())?;
    let part = example_packages::PART;
    let mut programs = debian::TO_RUN_EXAMPLES.to_vec();
    if !folder.has(&part) {
        programs.extend(debian::TO_MAKE_A_VENV);
    }
    debian::install_programs("example", &programs)?;
    let venv = folder.install(&part, |unfinished| example_packages::make(&folder, unfinished))?;
    Ok(venv.join("bin/python"))
}

/// Installs Apache Flink if it is missing; returns the folder with its jars in `lib`. Only tests
/// need it, not the servers.
///
/// # Errors
/// If a package cannot be fetched; the next run continues where this one failed.
pub fn install_flink() -> Result<PathBuf> {
    let folder = Folder::open(&lab_folder())?;
    let part = flink_jars::PART;
    let mut programs = debian::TO_RUN_JARS.to_vec();
    if !folder.has(&part) {
        programs.extend(debian::TO_FETCH_JARS);
    }
    debian::install_programs("Flink", &programs)?;
    folder.install(&part, |unfinished| flink_jars::make(&folder, unfinished))
}
