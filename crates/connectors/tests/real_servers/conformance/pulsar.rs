//! The Pulsar source against the suite of sources. Never looks at a topic with the source's client.

use crate::pulsar_topics::{eventually, options, produce, subscriptions};
use crate::support::{own_pulsar, shared_pulsar};
use ::conformance::source::{self, Leaving, Losing, SourceUnderTest};
use async_trait::async_trait;
use connectors::pulsar::Pulsar;
use lab::Server as _;
use replication::ports::Source;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::RwLock;

#[tokio::test(flavor = "multi_thread")]
async fn the_pulsar_source_is_a_source() {
    source::suite(&Queue { server: shared_pulsar(), keeps_messages: false }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pulsar_source_finds_its_broker_again() {
    let (server, _run) = own_pulsar(lab::PulsarOptions::default());
    source::absence(&Mortal(RwLock::new(server))).await;
}

/// A queue whose broker stays.
pub(crate) struct Queue<'a> {
    pub(crate) server: &'a lab::Pulsar,
    /// Whether the messages of a topic that is made are held by a durable subscription of somebody
    /// else, until they are to be lost.
    pub(crate) keeps_messages: bool,
}

/// Whose subscription it is.
const HOLDER: &str = "holder";

fn path(channel: &str) -> String {
    format!("persistent/public/default/{channel}")
}

#[async_trait]
impl SourceUnderTest for Queue<'_> {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Pulsar::new(options(self.server)).unwrap())
    }

    async fn create(&self, channel: &str) {
        self.server.admin("PUT", &path(channel), "").unwrap();
        if self.keeps_messages {
            let holder = format!("{}/subscription/{HOLDER}", path(channel));
            self.server.admin("PUT", &holder, "").unwrap();
        }
    }

    async fn append(&self, channel: &str, payloads: Vec<Vec<u8>>) {
        produce(self.server, channel, payloads.into_iter()).await;
    }

    async fn kept(&self, channel: &str) -> Vec<String> {
        let topics = self.server.admin("GET", "persistent/public/default", "").unwrap();
        if !topics.contains(&format!("/{channel}\"")) {
            return vec![];
        }
        let subscriptions = subscriptions(self.server, channel);
        let subscriptions = subscriptions.as_object().unwrap().keys().cloned();
        [channel.to_owned()].into_iter().chain(subscriptions).collect()
    }

    fn doubts_for(&self) -> Duration {
        // Longer than a missing topic, or a broker that is away, is doubted.
        Duration::from_secs(10)
    }

    fn finds_within(&self) -> Duration {
        Duration::from_secs(3)
    }
}

#[async_trait]
impl Losing for Queue<'_> {
    async fn lose(&self, channel: &str, _: usize) {
        let path = path(channel);
        self.server.admin("DELETE", &format!("{path}/subscription/{HOLDER}"), "").unwrap();
        // All ledgers but the last, which ten entries fill.
        eventually("the messages to be trimmed", || {
            self.server.admin("POST", &format!("{path}/trim"), "").unwrap();
            let stats = self.server.admin("GET", &format!("{path}/internalStats"), "").unwrap();
            let stats: serde_json::Value = serde_json::from_str(&stats).unwrap();
            stats["ledgers"].as_array().unwrap().len() == 1
        })
        .await;
    }
}

/// A queue whose broker goes and comes.
struct Mortal(RwLock<lab::Pulsar>);

impl Mortal {
    fn queue(server: &impl Deref<Target = lab::Pulsar>) -> Queue<'_> {
        Queue { server, keeps_messages: false }
    }
}

#[async_trait]
impl SourceUnderTest for Mortal {
    fn source(&self) -> Arc<dyn Source> {
        Self::queue(&self.0.try_read().unwrap()).source()
    }

    async fn create(&self, channel: &str) {
        Self::queue(&self.0.read().await).create(channel).await;
    }

    async fn append(&self, channel: &str, payloads: Vec<Vec<u8>>) {
        Self::queue(&self.0.read().await).append(channel, payloads).await;
    }

    async fn kept(&self, channel: &str) -> Vec<String> {
        Self::queue(&self.0.read().await).kept(channel).await
    }

    fn doubts_for(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn finds_within(&self) -> Duration {
        Duration::from_secs(3)
    }
}

#[async_trait]
impl Leaving for Mortal {
    async fn leave(&self) {
        self.0.write().await.kill().unwrap();
    }

    async fn come_back(&self) {
        self.0.write().await.bring_back().unwrap();
    }
}
