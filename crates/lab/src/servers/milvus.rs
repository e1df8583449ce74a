//! One Milvus, all its components in one process (standalone). It writes into the given folder;
//! files that Milvus writes elsewhere never stay.

use crate::error::{Result, While};
use crate::install::Installed;
use crate::ports::{self, Port};
use crate::processes::process::Process;
use crate::processes::spawner;
use crate::servers::etcd::EtcdClient;
use crate::servers::litter;
use crate::servers::milvus_config;
use crate::servers::server::{Server, http_get, own_folder, seal};
use serde_yaml_ng::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a Milvus keeps its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// In its own folder; what a target uses.
    Rocksmq,
    /// In the Kafka of this broker list; what a source needs to be replicated.
    Kafka(String),
    /// In the Pulsar with these ports, under `public/default`; likewise.
    Pulsar {
        /// The port that clients speak to.
        broker: u16,
        /// The port of the admin API.
        web: u16,
    },
}

/// The files for TLS of Milvus's API, in PEM.
#[derive(Debug, Clone)]
pub struct MilvusTls {
    /// Its certificate.
    pub cert: PathBuf,
    /// The key of it.
    pub key: PathBuf,
    /// The authority that signs the certificates of its clients; `None`: clients need none.
    pub client_ca: Option<PathBuf>,
}

impl MilvusTls {
    /// TLS with the files of [`make_certificates`](crate::make_certificates); clients need no
    /// certificate.
    pub fn one_way(folder: &Path) -> Self {
        Self { cert: folder.join("server.pem"), key: folder.join("server.key"), client_ca: None }
    }

    /// The same, but clients need a certificate of this authority.
    pub fn two_way(folder: &Path) -> Self {
        Self { client_ca: Some(folder.join("ca.pem")), ..Self::one_way(folder) }
    }

    fn settings(&self) -> Vec<(String, Value)> {
        let mode = if self.client_ca.is_some() { 2 } else { 1 };
        let mut settings = vec![("common.security.tlsMode".to_owned(), mode.into())];
        let mut file = |key: &str, path: &Path| {
            settings.push((format!("tls.{key}"), path.display().to_string().into()));
        };
        file("serverPemPath", &self.cert);
        file("serverKeyPath", &self.key);
        if let Some(ca) = &self.client_ca {
            file("caPemPath", ca);
        }
        settings
    }
}

/// How a Milvus is to be run.
#[derive(Debug, Clone)]
pub struct MilvusOptions {
    /// The root path of its keys in etcd and the prefix of its channels.
    pub name: String,
    /// Where it keeps its metadata.
    pub etcd: EtcdClient,
    /// Where it keeps its messages.
    pub queue: Queue,
    /// False makes it a replica: it takes replicated messages and refuses ordinary writes.
    pub tt_msg_enabled: bool,
    /// How many physical channels rows are spread over.
    pub dml_channels: u16,
    /// TLS for its API; its components talk to each other without TLS.
    pub tls: Option<MilvusTls>,
    /// `debug`, `info`, `warn` or `error`; what it logs at `info` costs processor time.
    pub log_level: String,
    /// More settings of `milvus.yaml` as dotted paths; they win over those of the lab.
    pub settings: Vec<(String, Value)>,
}

impl MilvusOptions {
    /// A Milvus that takes ordinary writes, with small defaults.
    pub fn new(name: &str, etcd: EtcdClient, queue: Queue) -> Self {
        Self {
            name: name.to_owned(),
            etcd,
            queue,
            tt_msg_enabled: true,
            dml_channels: 16,
            tls: None,
            log_level: "warn".to_owned(),
            settings: vec![],
        }
    }
}

/// A running Milvus.
#[derive(Debug)]
pub struct Milvus {
    /// Read at each start: change them and restart, for instance to promote a target.
    pub options: MilvusOptions,
    name: String,
    folder: PathBuf,
    install: PathBuf,
    ports: Vec<(&'static str, Port)>,
    proxy_port: Port,
    health_port: Port,
    process: Option<Process>,
}

/// Ports only Milvus itself uses.
const INNER_PORTS: [&str; 7] = [
    "proxy.internalPort",
    "rootCoord.port",
    "queryCoord.port",
    "dataCoord.port",
    "queryNode.port",
    "dataNode.port",
    "indexNode.port",
];

impl Milvus {
    /// Starts a Milvus in `folder`, made if absent, whose last part names it in messages. Its etcd
    /// and queue must be ready. Does not wait until it is ready itself.
    ///
    /// # Errors
    /// If the folder cannot be made or the program not be started.
    pub fn start(installed: &Installed, folder: &Path, options: MilvusOptions) -> Result<Self> {
        let (folder, name) = own_folder(folder)?;
        let claim = |path| Ok((path, ports::claim()?));
        let mut milvus = Self {
            options,
            name,
            folder,
            install: installed.milvus.clone(),
            ports: INNER_PORTS.into_iter().map(claim).collect::<Result<_>>()?,
            proxy_port: ports::claim()?,
            health_port: ports::claim()?,
            process: None,
        };
        seal::Inner::launch(&mut milvus)?;
        Ok(milvus)
    }

    /// `127.0.0.1:<port>` of its gRPC and HTTP API.
    pub fn address(&self) -> String {
        self.proxy_port.address()
    }

    /// `127.0.0.1:<port>` of `/healthz` and `/metrics`.
    pub fn health_address(&self) -> String {
        self.health_port.address()
    }

    fn settings(&self) -> Vec<(String, Value)> {
        let options = &self.options;
        let folder = |name: &str| Value::from(self.folder.join(name).display().to_string());
        let mut settings: Vec<(String, Value)> = Vec::new();
        let mut set = |path: &str, value: Value| settings.push((path.to_owned(), value));
        set("etcd.endpoints", options.etcd.endpoint.clone().into());
        set("etcd.rootPath", options.name.clone().into());
        set("etcd.use.embed", false.into());
        set("etcd.log.level", "warn".into());
        set("common.chanNamePrefix.cluster", options.name.clone().into());
        set("common.ttMsgEnabled", options.tt_msg_enabled.into());
        // Its default is half an hour.
        set("common.gracefulStopTimeout", 3.into());
        // A test must not be slowed down by limits for production. They can't be turned off as a
        // whole (`quotaAndLimits.enabled`): a stop would then wait for ever for that component.
        set("quotaAndLimits.quotaCenterCollectInterval", 60.into());
        set("quotaAndLimits.limitWriting.memProtection.enabled", false.into());
        set("quotaAndLimits.limitWriting.diskProtection.enabled", false.into());
        set("rootCoord.dmlChannelNum", options.dml_channels.into());
        set("localStorage.path", folder("data"));
        set("rocksmq.path", folder("rocksmq"));
        set("log.level", options.log_level.clone().into());
        // Empty: to standard output only, which is our log file.
        set("log.file.rootPath", "".into());
        match &options.queue {
            Queue::Rocksmq => set("mq.type", "rocksmq".into()),
            Queue::Kafka(brokers) => {
                set("mq.type", "kafka".into());
                set("kafka.brokerList", brokers.clone().into());
            }
            Queue::Pulsar { broker, web } => {
                set("mq.type", "pulsar".into());
                set("pulsar.address", "127.0.0.1".into());
                set("pulsar.port", (*broker).into());
                set("pulsar.webport", (*web).into());
            }
        }
        for (path, port) in &self.ports {
            set(path, port.number().into());
        }
        set("proxy.port", self.proxy_port.number().into());
        // What components tell each other; by default the first address of the machine.
        for component in COMPONENTS {
            set(&format!("{component}.ip"), "127.0.0.1".into());
        }
        settings.extend(options.tls.iter().flat_map(MilvusTls::settings));
        settings.extend(options.settings.iter().cloned());
        settings
    }

    fn write_config(&self) -> Result<()> {
        let write = |name: &str, text: &str| {
            let path = self.folder.join("configs").join(name);
            fs::write(&path, text).while_doing(|| format!("write {}", path.display()))
        };
        let template = self.install.join("config.yaml.template");
        let template =
            fs::read_to_string(&template).while_doing(|| format!("read {}", template.display()))?;
        for name in ["configs", "logs"] {
            let folder = self.folder.join(name);
            fs::create_dir_all(&folder).while_doing(|| format!("create {}", folder.display()))?;
        }
        write("milvus.yaml", &milvus_config::render(&template, &self.settings())?)?;
        write("glog.conf", GLOG)
    }

    /// A Milvus that was killed leaves its sessions behind, and a new one waits until their
    /// leases end, 30 seconds. The id counter is no session.
    fn forget_sessions(&self) -> Result<()> {
        let prefix = format!("{}/meta/session/", self.options.name);
        for key in self.options.etcd.keys(&prefix)? {
            if key != format!("{prefix}id") {
                self.options.etcd.run(&["del", &key])?;
            }
        }
        Ok(())
    }
}

const COMPONENTS: [&str; 7] =
    ["proxy", "rootCoord", "queryCoord", "dataCoord", "queryNode", "dataNode", "indexNode"];

/// The C++ part's log: errors only, to standard error and so into our log file.
const GLOG: &str = "--logtostderr=true\n--minloglevel=2\n";

impl Server for Milvus {
    fn name(&self) -> &str {
        &self.name
    }

    fn grace(&self) -> Duration {
        // With collections a stop often hangs: the coordinators end first and the other components
        // wait for them. Killing it loses nothing, since the queue replays.
        Duration::from_secs(3)
    }
}

impl seal::Inner for Milvus {
    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    fn launch(&mut self) -> Result<()> {
        self.write_config()?;
        self.forget_sessions()?;
        litter::sweep();
        // Several on one machine would share one file of process ids.
        let alias = litter::alias(self.health_port.number());
        let mut command = spawner::mortal(self.install.join("milvus"));
        command
            .args(["run", "standalone", "-alias", &alias])
            .env("LD_LIBRARY_PATH", &self.install)
            .env("DEPLOY_MODE", "STANDALONE")
            .env("METRICS_PORT", self.health_port.number().to_string());
        let mut process = Process::start_in(&self.folder, &self.name, command)?;
        process.remove_at_end(litter::left_by(process.pid(), &alias));
        self.process = Some(process);
        Ok(())
    }

    fn probe(&self) -> Result<bool> {
        let answer = http_get(self.health_port.number(), "/healthz");
        Ok(answer.is_some_and(|body| is_healthy(&body)))
    }
}

/// Milvus reports OK once the components that are up are healthy; here all must be up.
fn is_healthy(healthz: &str) -> bool {
    const ALL: usize = 8;
    let answer: serde_json::Value = serde_json::from_str(healthz).unwrap_or_default();
    let components = answer["detail"].as_array().map_or(0, Vec::len);
    answer["state"] == "OK" && components == ALL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_milvus_is_healthy_when_all_its_components_are() {
        let answer = |state: &str, components: usize| {
            let detail = vec![serde_json::json!({"name": "some", "code": 1}); components];
            serde_json::json!({"state": state, "detail": detail}).to_string()
        };
        assert!(is_healthy(&answer("OK", 8)));
        assert!(!is_healthy(&answer("OK", 7)));
        assert!(!is_healthy(&answer("component querynode state is Abnormal", 8)));
        assert!(!is_healthy("OK"));
    }
}
