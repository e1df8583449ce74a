//! Apache Flink from Maven: the jars that run an SQL script in one Java machine. There is no
//! distribution among the packages. Never makes settings: whoever runs a script does.

use super::folder::{self, Folder, Part};
use super::maven;
use crate::error::Result;
use std::path::Path;

const VERSION: &str = "1.20.3";

/// It has releases of its own, each for one line of Flink.
const KAFKA_CONNECTOR_VERSION: &str = "3.4.0-1.20";

const LOG4J_VERSION: &str = "2.24.3";

pub(super) const PART: Part = Part { name: "flink", version: VERSION };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    folder::write(&unfinished.join("pom.xml"), &pom())?;
    maven::download(folder, unfinished)
}

fn pom() -> String {
    const FLINK: &str = "org.apache.flink";
    maven::pom(
        "flink",
        "",
        &[
            (FLINK, "flink-sql-client", VERSION),
            // The client expects these in Flink's distribution: they are not among its
            // dependencies.
            (FLINK, "flink-sql-gateway", VERSION),
            (FLINK, "flink-table-planner-loader", VERSION),
            (FLINK, "flink-table-runtime", VERSION),
            (FLINK, "flink-clients", VERSION),
            // The client needs one class of it to start, whatever the script is.
            (FLINK, "flink-python", VERSION),
            (FLINK, "flink-json", VERSION),
            (FLINK, "flink-connector-base", VERSION),
            (FLINK, "flink-connector-kafka", KAFKA_CONNECTOR_VERSION),
            ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J_VERSION),
        ],
    )
}
