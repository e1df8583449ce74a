//! One Apache Kafka broker that is its own controller (KRaft). Never replicates: there is one node.

use crate::error::{Result, While};
use crate::install::Installed;
use crate::ports::{self, Port};
use crate::processes::process::Process;
use crate::processes::spawner;
use crate::processes::tool;
use crate::servers::server::{Server, ask, own_folder, seal};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A further listener of the broker, with a port of its own.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name, upper case, as properties name it (`listener.name.<lower case>.…`).
    pub name: String,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: String,
    /// The port that clients are told, if there is a proxy before it; `None`: its own.
    pub advertised: Option<u16>,
}

impl Listener {
    /// One that clients reach at its own port.
    pub fn new(name: &str, protocol: &str) -> Self {
        Self { name: name.to_owned(), protocol: protocol.to_owned(), advertised: None }
    }
}

/// How a broker is to be run.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Its heap in MiB.
    pub heap_mib: u32,
    /// Listeners besides the plain one, for tests of security.
    pub listeners: Vec<Listener>,
    /// More lines of `server.properties`; a later one wins over those of the lab.
    pub properties: Vec<(String, String)>,
    /// More arguments of the Java machine, such as `-Djava.security.auth.login.config=...`.
    pub jvm_args: Vec<String>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { heap_mib: 512, listeners: vec![], properties: vec![], jvm_args: vec![] }
    }
}

/// A running broker.
#[derive(Debug)]
pub struct Kafka {
    name: String,
    folder: PathBuf,
    install: PathBuf,
    options: KafkaOptions,
    port: Port,
    controller_port: Port,
    listener_ports: Vec<Port>,
    process: Option<Process>,
}

impl Kafka {
    /// Starts a broker in `folder`, made if absent, whose last part names it in messages. Does not
    /// wait until it is ready.
    ///
    /// # Errors
    /// If the folder cannot be made or the program not be started.
    pub fn start(installed: &Installed, folder: &Path, options: KafkaOptions) -> Result<Self> {
        let (folder, name) = own_folder(folder)?;
        let data = folder.join("data");
        if !data.exists() {
            copy_files(&installed.kafka.join("formatted"), &data)?;
        }
        let listener_ports =
            options.listeners.iter().map(|_| ports::claim()).collect::<Result<_>>()?;
        let mut kafka = Self {
            name,
            folder,
            install: installed.kafka.clone(),
            options,
            port: ports::claim()?,
            controller_port: ports::claim()?,
            listener_ports,
            process: None,
        };
        seal::Inner::launch(&mut kafka)?;
        Ok(kafka)
    }

    /// `127.0.0.1:<port>` of the plain listener.
    pub fn broker(&self) -> String {
        self.port.address()
    }

    /// `127.0.0.1:<port>` of a further listener.
    pub fn listener(&self, name: &str) -> Option<String> {
        let at = self.options.listeners.iter().position(|listener| listener.name == name)?;
        self.listener_ports.get(at).map(Port::address)
    }

    /// Gives a user rights, as options of Kafka's own `kafka-acls` tell them: which resource, how
    /// its name is meant, which operations. The broker needs an authorizer.
    ///
    /// # Errors
    /// If they can't be given.
    pub fn allow(&self, user: &str, rights: &str) -> Result<()> {
        let mut command = Command::new("java");
        command
            .args(["-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg(format!("-Dlog4j.configuration=file:{}/log4j.properties", self.install.display()))
            .arg("-cp")
            .arg(self.install.join("lib/*"))
            .args(["kafka.admin.AclCommand", "--bootstrap-server", &self.broker(), "--add"])
            .args(["--allow-principal", &format!("User:{user}")])
            .args(rights.split_whitespace());
        tool::run(&mut command, ALLOWED_WITHIN).map(drop)
    }

    fn properties(&self) -> String {
        let controller = self.controller_port.address();
        let mut listeners = format!("PLAINTEXT://{}", self.broker());
        let mut advertised = listeners.clone();
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for (listener, port) in self.options.listeners.iter().zip(&self.listener_ports) {
            let _ = write!(listeners, ",{}://{}", listener.name, port.address());
            let told = listener.advertised.unwrap_or(port.number());
            let _ = write!(advertised, ",{}://127.0.0.1:{told}", listener.name);
            let _ = write!(protocols, ",{}:{}", listener.name, listener.protocol);
        }
        let mut text = format!(
            "listeners={listeners},CONTROLLER://{controller}\n\
             advertised.listeners={advertised}\n\
             listener.security.protocol.map={protocols}\n\
             controller.quorum.voters=1@{controller}\n\
             log.dirs={}\n{FIXED_PROPERTIES}",
            self.folder.join("data").display()
        );
        for (key, value) in &self.options.properties {
            let _ = writeln!(text, "{key}={value}");
        }
        text
    }
}

/// A Java machine starts, asks once and ends.
const ALLOWED_WITHIN: Duration = Duration::from_secs(60);

/// A node alone, messages as large as Milvus sends them, no waiting for others, few threads. A
/// broker that was killed may come back only when its session has ended, by default nine seconds.
const FIXED_PROPERTIES: &str = "process.roles=broker,controller
node.id=1
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
auto.create.topics.enable=true
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.min.isr=1
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.enable=false
";

impl Server for Kafka {
    fn name(&self) -> &str {
        &self.name
    }
}

impl seal::Inner for Kafka {
    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    fn launch(&mut self) -> Result<()> {
        let settings = self.folder.join("server.properties");
        fs::write(&settings, self.properties())
            .while_doing(|| format!("write {}", settings.display()))?;
        let mut command = spawner::mortal("java");
        command
            .arg(format!("-Xmx{}m", self.options.heap_mib))
            // Cheap to start and small: a test's broker is no benchmark of the collector. Perf
            // data would be a file outside our folder.
            .args(["-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg(format!("-Dlog4j.configuration=file:{}/log4j.properties", self.install.display()))
            .args(&self.options.jvm_args)
            .arg("-cp")
            .arg(self.install.join("lib/*"))
            .arg("kafka.Kafka")
            .arg(&settings);
        self.process = Some(Process::start_in(&self.folder, &self.name, command)?);
        Ok(())
    }

    fn probe(&self) -> Result<bool> {
        // The port opens long before requests are served, so a request it is.
        let answer = ask(self.port.number(), &API_VERSIONS_REQUEST, |answer| answer.len() >= 10);
        Ok(answer.is_some_and(|answer| {
            answer.get(4..8) == Some(&CORRELATION_ID) && answer.get(8..10) == Some(&[0, 0])
        }))
    }
}

const CORRELATION_ID: [u8; 4] = *b"labr";

/// Length 10, then key 18 (ApiVersions), version 0, correlation id, no client id.
const API_VERSIONS_REQUEST: [u8; 14] =
    [0, 0, 0, 10, 0, 18, 0, 0, b'l', b'a', b'b', b'r', 0xff, 0xff];

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let copy = || -> std::io::Result<()> {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    copy().while_doing(|| format!("copy {} to {}", from.display(), to.display()))
}
