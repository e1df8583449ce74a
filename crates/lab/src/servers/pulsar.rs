//! One Apache Pulsar: broker, bookie and metadata in one process (standalone). Never replicates:
//! there is one node.

use crate::error::{Error, Result, While};
use crate::install::Installed;
use crate::ports::{self, Port};
use crate::processes::process::Process;
use crate::processes::spawner;
use crate::servers::server::{Server, http, own_folder, seal};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// How a Pulsar is to be run.
#[derive(Debug, Clone)]
pub struct PulsarOptions {
    /// Its heap in MiB.
    pub heap_mib: u32,
    /// A second port for clients that speaks TLS; the files come with the settings.
    pub tls: bool,
    /// The `Authorization` header of the lab's own requests to the admin API.
    pub authorization: Option<String>,
    /// More lines of `standalone.conf`; they win over those of the lab.
    pub settings: Vec<(String, String)>,
    /// More arguments of the Java machine, such as `-Dpulsar.auth.basic.conf=...`.
    pub jvm_args: Vec<String>,
}

impl Default for PulsarOptions {
    fn default() -> Self {
        Self { heap_mib: 512, tls: false, authorization: None, settings: vec![], jvm_args: vec![] }
    }
}

/// A running Pulsar.
#[derive(Debug)]
pub struct Pulsar {
    name: String,
    folder: PathBuf,
    install: PathBuf,
    options: PulsarOptions,
    port: Port,
    web_port: Port,
    bookie_port: Port,
    tls_port: Option<Port>,
    process: Option<Process>,
}

impl Pulsar {
    /// Starts a Pulsar in `folder`, made if absent, whose last part names it in messages. Does not
    /// wait until it is ready.
    ///
    /// # Errors
    /// If the folder cannot be made or the program not be started.
    pub fn start(installed: &Installed, folder: &Path, options: PulsarOptions) -> Result<Self> {
        let (folder, name) = own_folder(folder)?;
        let tls_port = options.tls.then(ports::claim).transpose()?;
        let mut pulsar = Self {
            name,
            folder,
            install: installed.pulsar.clone(),
            options,
            port: ports::claim()?,
            web_port: ports::claim()?,
            bookie_port: ports::claim()?,
            tls_port,
            process: None,
        };
        seal::Inner::launch(&mut pulsar)?;
        Ok(pulsar)
    }

    /// `pulsar://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("pulsar://{}", self.port.address())
    }

    /// `pulsar+ssl://127.0.0.1:<port>`, if it speaks TLS.
    pub fn tls_url(&self) -> Option<String> {
        self.tls_port.as_ref().map(|port| format!("pulsar+ssl://{}", port.address()))
    }

    /// The port that clients speak to.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The port of the admin API.
    pub fn web_port(&self) -> u16 {
        self.web_port.number()
    }

    /// Sends a request to the admin API: `path` begins after `/admin/v2/`, `body` is JSON or empty.
    /// Returns the body of the answer.
    ///
    /// # Errors
    /// If it does not answer, or with another status than a success.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Result<String> {
        let authorization = self.options.authorization.as_deref();
        let path = format!("/admin/v2/{path}");
        match http(self.web_port.number(), method, &path, authorization, body) {
            Some((200..300, body)) => Ok(body),
            Some((status, body)) => {
                Err(Error::new(format!("{method} {path}: status {status}: {body}")))
            }
            None => Err(Error::new(format!("{method} {path}: no answer"))),
        }
    }

    fn settings(&self) -> String {
        let mut text = format!(
            "brokerServicePort={}\nwebServicePort={}\n{FIXED_SETTINGS}",
            self.port.number(),
            self.web_port.number()
        );
        if let Some(port) = &self.tls_port {
            let _ = writeln!(text, "brokerServicePortTls={}", port.number());
        }
        for (key, value) in &self.options.settings {
            let _ = writeln!(text, "{key}={value}");
        }
        text
    }
}

/// A single node with small caches, without syncs to the disk. Messages are kept for a week, as in
/// Milvus's own charts.
const FIXED_SETTINGS: &str = "clusterName=standalone
bindAddress=127.0.0.1
bindAddresses=
advertisedAddress=127.0.0.1
allowLoopback=true
allowAutoTopicCreation=true
allowAutoTopicCreationType=non-partitioned
managedLedgerDefaultEnsembleSize=1
managedLedgerDefaultWriteQuorum=1
managedLedgerDefaultAckQuorum=1
managedLedgerCacheSizeMB=64
journalSyncData=false
ledgerStorageClass=org.apache.bookkeeper.bookie.storage.ldb.DbLedgerStorage
dbStorage_writeCacheMaxSizeMb=64
dbStorage_readAheadCacheMaxSizeMb=64
dbStorage_rocksDB_blockCacheSize=16777216
diskUsageThreshold=0.99
diskUsageWarnThreshold=0.98
systemTopicEnabled=false
topicLevelPoliciesEnabled=false
brokerDeleteInactiveTopicsEnabled=false
defaultRetentionTimeInMinutes=10080
defaultRetentionSizeInMB=-1
defaultNumberOfNamespaceBundles=4
loadBalancerEnabled=false
numIOThreads=4
numHttpServerThreads=8
";

/// The packages that the Java machine must open to Pulsar.
const OPENED: [&str; 6] = [
    "java.base/sun.net",
    "java.management/sun.management",
    "jdk.management/com.sun.management.internal",
    "java.base/jdk.internal.platform",
    "java.base/java.nio",
    "java.base/jdk.internal.misc",
];

impl Server for Pulsar {
    fn name(&self) -> &str {
        &self.name
    }
}

impl seal::Inner for Pulsar {
    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    fn launch(&mut self) -> Result<()> {
        let settings = self.folder.join("standalone.conf");
        fs::write(&settings, self.settings())
            .while_doing(|| format!("write {}", settings.display()))?;
        let mut command = spawner::mortal("java");
        command
            .arg(format!("-Xmx{}m", self.options.heap_mib))
            // Cheap to start, as for the other brokers of the lab.
            .args(["-Xms128m", "-XX:MaxDirectMemorySize=768m", "-XX:+UseSerialGC"])
            .args(["-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg("-Dio.netty.tryReflectionSetAccessible=true")
            .args(OPENED.map(|package| format!("--add-opens={package}=ALL-UNNAMED")))
            .arg(format!("-Dlog4j.configurationFile={}/log4j2.properties", self.install.display()))
            .args(&self.options.jvm_args)
            .arg("-cp")
            .arg(self.install.join("lib/*"))
            .arg("org.apache.pulsar.PulsarStandaloneStarter")
            .args(["--no-functions-worker", "--no-stream-storage", "--num-bookies", "1"])
            .args(["--advertised-address", "127.0.0.1"])
            .args(["--bookkeeper-port", &self.bookie_port.number().to_string()])
            .arg("--config")
            .arg(&settings)
            .arg("--metadata-dir")
            .arg(self.folder.join("metadata"))
            .arg("--bookkeeper-dir")
            .arg(self.folder.join("bookkeeper"));
        self.process = Some(Process::start_in(&self.folder, &self.name, command)?);
        Ok(())
    }

    fn probe(&self) -> Result<bool> {
        // The port is open and the broker is healthy before the namespace of the topics exists.
        let well = self.admin("GET", "brokers/health", "").is_ok_and(|answer| answer == "ok");
        Ok(well && self.admin("GET", "namespaces/public/default", "").is_ok())
    }
}
