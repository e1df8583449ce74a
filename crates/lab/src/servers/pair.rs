//! A source and a target, ready to replicate between, each on an etcd of its own: the smallest
//! whole that a test of replication needs. Never connects the two: that is the product's work.

use crate::error::{Error, Result};
use crate::install::Installed;
use crate::servers::broker::{Broker, BrokerOptions};
use crate::servers::etcd::{Etcd, EtcdOptions};
use crate::servers::milvus::{Milvus, MilvusOptions, MilvusTls, Queue};
use crate::servers::server::{READY_WITHIN, Server};
use serde_yaml_ng::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a pair is to be run.
#[derive(Debug, Clone)]
pub struct PairOptions {
    /// The queue of the source.
    pub queue: BrokerOptions,
    /// Physical channels of the source; each costs processor time even when idle.
    pub source_channels: u16,
    /// Physical channels of the target.
    pub target_channels: u16,
    /// If the target's API speaks TLS.
    pub target_tls: Option<MilvusTls>,
    /// What either Milvus logs: `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// More settings of either `milvus.yaml` as dotted paths.
    pub settings: Vec<(String, Value)>,
}

impl Default for PairOptions {
    fn default() -> Self {
        Self {
            queue: BrokerOptions::default(),
            source_channels: 16,
            target_channels: 16,
            target_tls: None,
            log_level: "warn".to_owned(),
            settings: vec![],
        }
    }
}

/// A source on Kafka or Pulsar and a replica to write to. Dropped, all of it is killed.
#[derive(Debug)]
pub struct Pair {
    /// Named `src`; its messages are in `queue`.
    pub source: Milvus,
    /// Named `dst`; refuses ordinary writes.
    pub target: Milvus,
    /// The source's queue.
    pub queue: Broker,
    /// The source's metadata. Without it a Milvus ends by itself after about a minute.
    pub source_etcd: Etcd,
    /// The target's metadata.
    pub target_etcd: Etcd,
    /// How long it took until all were ready.
    pub started_in: Duration,
}

impl Pair {
    /// Starts all five servers below `folder` and waits until they are ready.
    ///
    /// # Errors
    /// If one of them does not start; those that did are killed.
    pub fn start(installed: &Installed, folder: &Path, options: &PairOptions) -> Result<Self> {
        let begun = Instant::now();
        let mut source_etcd = Etcd::start(&folder.join("source-etcd"), EtcdOptions::default())?;
        let mut target_etcd = Etcd::start(&folder.join("target-etcd"), EtcdOptions::default())?;
        let mut queue = Broker::start(installed, folder, options.queue.clone())?;
        target_etcd.wait_ready(READY_WITHIN)?;
        // The target needs no broker, so it starts beside it.
        let mut target = Milvus::start(
            installed,
            &folder.join("target"),
            MilvusOptions {
                tt_msg_enabled: false,
                dml_channels: options.target_channels,
                tls: options.target_tls.clone(),
                ..options.milvus("dst", &target_etcd, Queue::Rocksmq)
            },
        )?;
        source_etcd.wait_ready(READY_WITHIN)?;
        queue.wait_ready(READY_WITHIN)?;
        let mut source = Milvus::start(
            installed,
            &folder.join("source"),
            options.milvus("src", &source_etcd, queue.queue()),
        )?;
        target.wait_ready(READY_WITHIN)?;
        source.wait_ready(READY_WITHIN)?;
        let started_in = begun.elapsed();
        println!("lab: pair ready in {:.1} s", started_in.as_secs_f64());
        Ok(Self { source, target, queue, source_etcd, target_etcd, started_in })
    }

    /// All five, those that need others first.
    pub fn servers(&mut self) -> [&mut dyn Server; 5] {
        [
            &mut self.source,
            &mut self.target,
            &mut self.queue,
            &mut self.source_etcd,
            &mut self.target_etcd,
        ]
    }

    /// Stops all gracefully: both Milvus at the same time, then what they need.
    ///
    /// # Errors
    /// The first that could not be stopped; the others are stopped all the same.
    pub fn stop(&mut self) -> Result<()> {
        let milvus = stop_together([&mut self.source, &mut self.target]);
        let queue: &mut (dyn Server + 'static) = &mut self.queue;
        milvus.and(stop_together([queue, &mut self.source_etcd, &mut self.target_etcd]))
    }
}

impl PairOptions {
    fn milvus(&self, name: &str, etcd: &Etcd, queue: Queue) -> MilvusOptions {
        MilvusOptions {
            dml_channels: self.source_channels,
            log_level: self.log_level.clone(),
            settings: self.settings.clone(),
            ..MilvusOptions::new(name, etcd.client(), queue)
        }
    }
}

fn stop_together<const N: usize>(servers: [&mut dyn Server; N]) -> Result<()> {
    std::thread::scope(|scope| {
        let threads = servers.map(|server| scope.spawn(move || server.stop()));
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| Error::new("stopping panicked")).flatten())
            .fold(Ok(()), Result::and)
    })
}
