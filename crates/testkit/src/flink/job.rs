//! Runs an SQL script in a Java machine of its own, to its end. Never talks to a cluster: client,
//! job manager and task manager are one process, which ends with its job or its deadline.

use crate::wait;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Enough for a test's job; the machine takes half as much again.
const HEAP: &str = "-Xmx512m";

/// Sized for a test, and nothing that listens does so beyond this machine. With more than one task
/// in parallel the events of different partitions meet, as they do in a real cluster.
const SETTINGS: &str = "execution.target: local
execution.runtime-mode: streaming
parallelism.default: 2
table.dml-sync: true
sql-client.execution.result-mode: tableau
taskmanager.memory.network.min: 8mb
taskmanager.memory.network.max: 8mb
taskmanager.memory.managed.size: 32mb
jobmanager.rpc.address: 127.0.0.1
jobmanager.bind-host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
";

/// What the client prints is kept apart from what Flink logs.
const LOG4J: &str = "status = error
appender.file.type = File
appender.file.name = file
appender.file.fileName = flink.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = [%d] %p %m (%c)%n%ex
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
";

/// The client prints this last, whether or not a statement has failed; its exit code does not show
/// it.
const LAST_WORDS: &str = "Shutting down the session...\ndone.";

/// Goes before the reason, and the script goes no further.
const FAILED: &str = "[ERROR]";

/// How much of the log an error shows: the cause of a failure comes before its consequences, and
/// the client sometimes names only the consequences.
const LOG_TAIL_LINES: usize = 60;

/// Apache Flink, installed. It has no life between two scripts.
#[derive(Clone, Debug)]
pub struct Flink {
    jars: PathBuf,
}

impl Flink {
    /// Installs it if it is missing. Blocks.
    ///
    /// # Errors
    /// If it cannot be installed.
    pub fn install() -> Result<Self> {
        Ok(Self { jars: lab::install_flink()?.join("lib") })
    }

    /// Runs a script, each statement of which ends with a `;` at the end of a line, and returns
    /// what it prints. A job with a bounded source is waited for.
    ///
    /// # Errors
    /// If a statement fails, with the reason and the end of Flink's log, or if the script has not
    /// ended `within` the time given.
    pub async fn run(&self, script: &str, within: Duration) -> Result<String> {
        let folder = tempfile::tempdir().context("a folder for the job")?;
        let mut process = self.start(script, folder.path())?;
        let ended = wait::until("the end of a Flink job", within, || {
            let ended = !process.is_running();
            async move { Ok(ended.then_some(())) }
        });
        let ended = ended.await;
        process.kill()?;
        let printed = fs::read_to_string(process.log()).context("read what Flink printed")?;
        let log = || tail(&folder.path().join("flink.log"));
        ended.with_context(|| format!("{printed}\nend of its log:\n{}", log()))?;
        if let Some(at) = printed.find(FAILED) {
            bail!("a statement failed: {}\nend of Flink's log:\n{}", &printed[at..], log());
        }
        if !printed.trim_end().ends_with(LAST_WORDS) {
            bail!("Flink ended before its script:\n{printed}\nend of its log:\n{}", log());
        }
        Ok(printed)
    }

    fn start(&self, script: &str, folder: &Path) -> Result<lab::Process> {
        let at = |name: &str| folder.join(name);
        fs::write(at("job.sql"), script)?;
        fs::write(at("config.yaml"), SETTINGS)?;
        fs::write(at("log4j2.properties"), LOG4J)?;
        fs::create_dir(at("tmp"))?;
        let mut java = lab::mortal("java");
        java.arg(HEAP)
            // Cheap to start; perf data would be a file outside our folder.
            .args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg("-Dlog4j2.configurationFile=log4j2.properties")
            .args(["-Djava.io.tmpdir=tmp", "-Duser.home=.", "-cp"])
            .arg(self.jars.join("*"))
            .args(["org.apache.flink.table.client.SqlClient", "-f", "job.sql"])
            .env("FLINK_CONF_DIR", folder)
            .current_dir(folder);
        Ok(lab::Process::start("flink", java, &at("printed"))?)
    }
}

/// Without the stacks, which are most of it.
fn tail(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with('\t')).collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
