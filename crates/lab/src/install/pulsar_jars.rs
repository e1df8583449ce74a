//! Apache Pulsar from Maven: the jars of a broker with its bookie and metadata store. There is no
//! distribution among the packages, so the lab makes all settings. Never starts a broker.

use super::folder::{self, Folder, Part};
use super::maven;
use crate::error::Result;
use std::path::Path;

const VERSION: &str = "3.0.7";

const LOG4J: &str = "status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n%ex
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
";

pub(super) const PART: Part = Part { name: "pulsar", version: VERSION };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    folder::write(&unfinished.join("pom.xml"), &pom())?;
    folder::write(&unfinished.join("log4j2.properties"), LOG4J)?;
    maven::download(folder, unfinished)
}

fn pom() -> String {
    // Without the parent's versions Maven searches for ever among those of the dependencies.
    let versions = format!(
        "<dependencyManagement><dependencies><dependency><groupId>org.apache.pulsar</groupId>\
         <artifactId>pulsar</artifactId><version>{VERSION}</version><type>pom</type>\
         <scope>import</scope></dependency></dependencies></dependencyManagement>"
    );
    maven::pom("pulsar", &versions, &[("org.apache.pulsar", "pulsar-broker", VERSION)])
}
