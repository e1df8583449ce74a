//! An etcd: one member that is a cluster of its own, or a member of a cluster of several. Never
//! shared between source and target, so that each can fail alone.

use crate::error::{Result, While};
use crate::ports::{self, Port};
use crate::processes::process::Process;
use crate::processes::spawner;
use crate::processes::tool;
use crate::servers::server::{Server, http_get, seal};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const CLIENT_WITHIN: Duration = Duration::from_secs(10);

/// How an etcd is to be run.
#[derive(Debug, Clone, Default)]
pub struct EtcdOptions {
    /// Clients must use TLS; the files come with the extra arguments of both sides.
    pub tls: bool,
    /// More arguments of the server, such as `--cert-file=...`.
    pub server_args: Vec<String>,
    /// More arguments of `etcdctl`, such as `--cacert=...`.
    pub client_args: Vec<String>,
}

/// A running etcd.
#[derive(Debug)]
pub struct Etcd {
    name: String,
    folder: PathBuf,
    options: EtcdOptions,
    client_port: Port,
    peer_port: Port,
    /// A listener without TLS that answers health checks only.
    health_port: Port,
    /// Name and peer URL of each member, as `--initial-cluster` takes them.
    cluster: String,
    process: Option<Process>,
}

impl Etcd {
    /// Starts an etcd in `folder`, made if absent, whose last part names it in messages. Does not
    /// wait until it is ready.
    ///
    /// # Errors
    /// If the folder cannot be made or the program not be started.
    pub fn start(folder: &Path, options: EtcdOptions) -> Result<Self> {
        let mut etcd = Self::prepare(folder, options)?;
        etcd.cluster = etcd.as_member();
        seal::Inner::launch(&mut etcd)?;
        Ok(etcd)
    }

    /// Starts a cluster of so many members, each in a folder of its own in `folder`. Does not wait
    /// until they are ready.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_cluster(folder: &Path, members: usize) -> Result<Vec<Self>> {
        // As in production: members that share a slow machine elect nobody twice a second.
        let timing = ["--heartbeat-interval", "100", "--election-timeout", "1000"];
        let server_args: Vec<_> = timing.map(str::to_owned).into();
        let options = EtcdOptions { server_args, ..EtcdOptions::default() };
        let prepare = |n| Self::prepare(&folder.join(format!("etcd{n}")), options.clone());
        let mut members = (0..members).map(prepare).collect::<Result<Vec<_>>>()?;
        let cluster = members.iter().map(Self::as_member).collect::<Vec<_>>().join(",");
        for member in &mut members {
            member.cluster.clone_from(&cluster);
            seal::Inner::launch(member)?;
        }
        Ok(members)
    }

    fn prepare(folder: &Path, options: EtcdOptions) -> Result<Self> {
        let (folder, name) = crate::servers::server::own_folder(folder)?;
        Ok(Self {
            name,
            folder,
            options,
            client_port: ports::claim()?,
            peer_port: ports::claim()?,
            health_port: ports::claim()?,
            cluster: String::new(),
            process: None,
        })
    }

    fn as_member(&self) -> String {
        format!("{}=http://{}", self.name, self.peer_port.address())
    }

    /// `127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        self.client_port.address()
    }

    /// A client for this server.
    pub fn client(&self) -> EtcdClient {
        let scheme = if self.options.tls { "https" } else { "http" };
        EtcdClient {
            endpoint: self.endpoint(),
            url: format!("{scheme}://{}", self.endpoint()),
            args: self.options.client_args.clone(),
        }
    }
}

impl Server for Etcd {
    fn name(&self) -> &str {
        &self.name
    }
}

impl seal::Inner for Etcd {
    fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    fn launch(&mut self) -> Result<()> {
        let client = self.client().url;
        let peer = format!("http://{}", self.peer_port.address());
        let mut command = spawner::mortal("etcd");
        command
            .args(["--name", &self.name, "--logger", "zap", "--log-level", "warn"])
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &self.cluster])
            .args(["--listen-metrics-urls", &format!("http://{}", self.health_port.address())])
            // A member without others elects itself; the default timeout is a second of waiting.
            .args(["--heartbeat-interval", "20", "--election-timeout", "200"])
            .args(&self.options.server_args);
        self.process = Some(Process::start_in(&self.folder, &self.name, command)?);
        Ok(())
    }

    fn probe(&self) -> Result<bool> {
        let answer = http_get(self.health_port.number(), "/health");
        Ok(answer.is_some_and(|body| body.contains(r#""health":"true""#)))
    }
}

/// Talks to an etcd through `etcdctl`, for the lab's own needs and for looking into it.
#[derive(Debug, Clone)]
pub struct EtcdClient {
    /// `127.0.0.1:<port>`.
    pub endpoint: String,
    url: String,
    args: Vec<String>,
}

impl EtcdClient {
    /// Runs `etcdctl` (API version 3) and returns its output.
    ///
    /// # Errors
    /// If it fails or does not answer.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={}", self.url));
        tool::run(command.args(&self.args).args(args), CLIENT_WITHIN)
            .while_doing(|| format!("etcdctl {}", args.join(" ")))
    }

    /// The keys that begin with `prefix`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let output = self.run(&["get", "--prefix", "--keys-only", prefix])?;
        Ok(output.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}
