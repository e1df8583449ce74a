//! The servers for the measurements. Never measures anything itself.

use anyhow::Result;
use clap::ValueEnum;
use connectors::kafka::{Kafka, KafkaOptions};
use connectors::pulsar::{Pulsar, PulsarOptions as Reading};
use lab::{BrokerOptions, Pair, PairOptions, PulsarOptions, Server};
use replication::ports::Source;
use tempfile::TempDir;
use testkit::milvus::Milvus;
use testkit::service::{Service, ServiceConfig};

/// The queue of the source.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum Queue {
    Kafka,
    Pulsar,
}

/// A source and a target.
pub(crate) struct Scene {
    /// The servers.
    pub(crate) pair: Pair,
    /// Clients of both sides.
    pub(crate) source: Milvus,
    pub(crate) target: Milvus,
    folder: TempDir,
}

impl Scene {
    /// Starts the servers.
    pub(crate) async fn start(queue: Queue) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("milvus-cdc-bench-").tempdir()?;
        let path = folder.path().to_owned();
        let pair = tokio::task::spawn_blocking(move || {
            let queue = match queue {
                Queue::Kafka => BrokerOptions::default(),
                Queue::Pulsar => BrokerOptions::Pulsar(PulsarOptions::default()),
            };
            let options = PairOptions { queue, ..PairOptions::default() };
            Pair::start(&lab::install_servers()?, &path, &options)
        });
        let pair = pair.await??;
        let source = Milvus::at(&pair.source.address())?;
        let target = Milvus::at(&pair.target.address())?;
        Ok(Self { pair, source, target, folder })
    }

    /// A milvus-cdc of its own, configured as its defaults are.
    pub(crate) async fn service(&self) -> Result<Service> {
        Service::start(ServiceConfig::of_pair(&self.pair)).await
    }

    /// Where the target listens.
    pub(crate) fn target_address(&self) -> String {
        self.pair.target.address()
    }

    /// Where a log may be put.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The topics of the source's rows.
    pub(crate) fn topics(&self) -> Vec<String> {
        let options = &self.pair.source.options;
        let topic = |n| format!("{}-rootcoord-dml_{n}", options.name);
        (0..options.dml_channels).map(topic).collect()
    }

    /// A way to the source's queue.
    pub(crate) fn queue(&self) -> Result<Box<dyn Source>> {
        let address = self.pair.queue.address();
        Ok(match address.strip_prefix("pulsar://") {
            Some(broker) => Box::new(Pulsar::new(Reading::new(broker))?),
            None => Box::new(Kafka::new(KafkaOptions::new(address))?),
        })
    }

    /// Where the backlog is.
    pub(crate) fn print_addresses(&self) {
        println!("\nstill running, until Ctrl-C:");
        println!("  etcd   {}", self.pair.source_etcd.endpoint());
        println!("  queue  {}", self.pair.queue.address());
    }

    /// Kills the servers.
    pub(crate) fn end(mut self) -> Result<()> {
        self.pair.servers().into_iter().try_for_each(Server::kill)?;
        Ok(())
    }
}
