//! Jars from Maven, with all that they depend on. Never writes into the user's own repository of
//! jars.

use super::folder::Folder;
use crate::error::Result;
use crate::processes::tool;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PLUGIN: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// A minute on a good line; Maven has no limit of its own.
const DOWNLOAD_WITHIN: Duration = Duration::from_secs(900);

/// Copies what the `pom.xml` in `into` names to its subfolder `lib`.
pub(super) fn download(folder: &Folder, into: &Path) -> Result<()> {
    // Two of them in one repository would overwrite each other's files.
    let _turn = folder.turn("maven")?;
    let mut maven = Command::new("mvn");
    maven
        .args(["--batch-mode", "--quiet", PLUGIN, "-DincludeScope=runtime"])
        .arg("-DoutputDirectory=lib")
        .arg(format!("-Dmaven.repo.local={}", folder.cache("maven").display()))
        .current_dir(into);
    tool::run(&mut maven, DOWNLOAD_WITHIN).map(drop)
}

/// A project of nothing but dependencies: group, artifact and version. `more` goes before them.
pub(super) fn pom(name: &str, more: &str, dependencies: &[(&str, &str, &str)]) -> String {
    let dependencies: String = dependencies
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>"
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\
         <groupId>lab</groupId><artifactId>{name}</artifactId><version>1</version>\
         <packaging>pom</packaging>{more}<dependencies>{dependencies}</dependencies></project>\n"
    )
}
