//! Apache Kafka from Maven: the jars of broker and tools, and one formatted data folder that every
//! broker of the lab starts from, so that none has to run the format tool. Never starts a broker.

use super::folder::{self, Folder, Part};
use super::maven;
use crate::error::{Result, While};
use crate::processes::tool;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const VERSION: &str = "3.9.1";
const FORMAT_WITHIN: Duration = Duration::from_secs(60);

/// Any 16 bytes in base64; the brokers of the lab never meet.
const CLUSTER_ID: &str = "bWlsdnVzLWNkYy1sYWIuLg";

const LOG4J: &str = "log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
";

pub(super) const PART: Part = Part { name: "kafka", version: VERSION };

pub(super) fn make(folder: &Folder, unfinished: &Path) -> Result<()> {
    folder::write(&unfinished.join("pom.xml"), &pom())?;
    folder::write(&unfinished.join("log4j.properties"), LOG4J)?;
    maven::download(folder, unfinished)?;
    format(unfinished)
}

fn format(kafka: &Path) -> Result<()> {
    let settings = kafka.join("format.properties");
    let formatted = kafka.join("formatted");
    std::fs::create_dir(&formatted).while_doing(|| format!("create {}", formatted.display()))?;
    // Nothing is contacted: formatting only asks for a plausible file.
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\n\
         controller.quorum.voters=1@127.0.0.1:9093\n\
         listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n",
        formatted.display()
    );
    folder::write(&settings, &text)?;
    let mut tool = Command::new("java");
    tool.arg("-Dlog4j.configuration=file:log4j.properties")
        .args(["-cp", "lib/*", "kafka.tools.StorageTool", "format"])
        .args(["--cluster-id", CLUSTER_ID, "--config"])
        .arg(&settings)
        .current_dir(kafka);
    tool::run(&mut tool, FORMAT_WITHIN).map(drop)
}

fn pom() -> String {
    maven::pom(
        "kafka",
        "",
        &[
            ("org.apache.kafka", "kafka_2.13", VERSION),
            ("org.apache.kafka", "kafka-tools", VERSION),
            ("org.slf4j", "slf4j-reload4j", "1.7.36"),
        ],
    )
}
