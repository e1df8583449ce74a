//! The Kafka source against the suite of sources. Never looks at a topic with the source's client.

use crate::support::{own_kafka, shared_kafka};
use crate::topics::{make_topic, produce};
use ::conformance::source::{self, Leaving, Losing, SourceUnderTest};
use async_trait::async_trait;
use connectors::kafka::{Kafka, KafkaOptions};
use lab::Server as _;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use replication::ports::Source;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// As the source calls itself.
const GROUP: &str = "milvus-cdc";

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_source_is_a_source() {
    source::suite(&Queue::shared()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_source_says_what_is_lost() {
    let losses = source::losses(&Queue::shared()).await;
    for words in ["offset 3", "Kafka has 30 to 35", "27 messages are lost"] {
        assert!(losses.lost.what.contains(words), "{words} is not in: {}", losses.lost);
    }
    for words in ["offset 34", "Kafka has 0 to 5", "beyond the end"] {
        assert!(losses.foreign.what.contains(words), "{words} is not in: {}", losses.foreign);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_source_finds_its_broker_again() {
    let (server, _run) = own_kafka(lab::KafkaOptions::default());
    let queue = Queue { broker: server.broker(), server: Mutex::new(Some(server)) };
    source::absence(&queue).await;
}

struct Queue {
    broker: String,
    /// If it is its own.
    server: Mutex<Option<lab::Kafka>>,
}

impl Queue {
    fn shared() -> Self {
        Self { broker: shared_kafka().broker(), server: Mutex::default() }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
    }
}

#[async_trait]
impl SourceUnderTest for Queue {
    fn source(&self) -> Arc<dyn Source> {
        Arc::new(Kafka::new(KafkaOptions::new(&self.broker)).unwrap())
    }

    async fn create(&self, channel: &str) {
        make_topic(&self.broker, channel, 1, &[]).await;
    }

    async fn append(&self, channel: &str, payloads: Vec<Vec<u8>>) {
        produce(&self.broker, channel, payloads).await;
    }

    async fn kept(&self, channel: &str) -> Vec<String> {
        let consumer: BaseConsumer = self.client().create().unwrap();
        let metadata = consumer.fetch_metadata(None, ANSWER_WITHIN).unwrap();
        let topics = metadata.topics().iter().map(|topic| topic.name().to_owned());
        let groups = consumer.fetch_group_list(None, ANSWER_WITHIN).unwrap();
        let groups = groups.groups().iter().map(|group| group.name().to_owned());
        let of_the_source = topics.filter(|topic| topic == channel);
        of_the_source.chain(groups.filter(|group| group == GROUP)).collect()
    }

    fn doubts_for(&self) -> Duration {
        // Long enough for librdkafka to report that a topic is unknown or a broker is away.
        Duration::from_secs(6)
    }

    fn finds_within(&self) -> Duration {
        Duration::from_secs(4)
    }
}

#[async_trait]
impl Losing for Queue {
    async fn lose(&self, channel: &str, entries: usize) {
        let mut trim = TopicPartitionList::new();
        trim.add_partition_offset(channel, 0, Offset::Offset(entries as i64)).unwrap();
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        admin.delete_records(&trim, &AdminOptions::new()).await.unwrap();
    }
}

#[async_trait]
impl Leaving for Queue {
    async fn leave(&self) {
        self.server.lock().unwrap().as_mut().unwrap().kill().unwrap();
    }

    async fn come_back(&self) {
        self.server.lock().unwrap().as_mut().unwrap().bring_back().unwrap();
    }
}
