//! Topics of a Kafka as anybody makes, writes and reads them. Never uses a client of the product.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Appends messages to the first partition of a topic.
pub(crate) async fn produce(
    broker: &str,
    topic: &str,
    payloads: impl IntoIterator<Item = Vec<u8>>,
) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("message.max.bytes", "16000000")
        .create()
        .unwrap();
    let sent: Vec<_> = payloads
        .into_iter()
        .map(|payload| {
            let record = FutureRecord::<(), _>::to(topic).partition(0).payload(&payload);
            producer.send_result(record).map_err(|(error, _)| error).unwrap()
        })
        .collect();
    for sent in sent {
        sent.await.unwrap().unwrap();
    }
}

/// Makes a topic with these settings.
pub(crate) async fn make_topic(
    broker: &str,
    topic: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
    for made in admin.create_topics([&new], &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
}

/// All records of a topic that are committed, each partition up to its end.
pub(crate) async fn read<T: Send + 'static>(
    broker: &str,
    topic: &str,
    take: impl Fn(&BorrowedMessage<'_>) -> T + Send + 'static,
) -> Vec<T> {
    let (broker, topic) = (broker.to_owned(), topic.to_owned());
    spawn_blocking(move || read_blocking(&broker, &topic, take)).await.unwrap()
}

fn read_blocking<T>(broker: &str, topic: &str, take: impl Fn(&BorrowedMessage<'_>) -> T) -> Vec<T> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // The end is found by a fetch that finds nothing.
        .set("fetch.wait.max.ms", "10")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    let partitions = metadata.topics()[0].partitions().len();
    let mut all = TopicPartitionList::new();
    for partition in 0..partitions {
        all.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let (mut taken, mut ended) = (Vec::new(), 0);
    while ended < partitions {
        assert!(Instant::now() < deadline, "{topic} is not read to its end");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(record)) => taken.push(take(&record)),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            _ => {}
        }
    }
    taken
}

/// Where a topic ends, committed or not.
pub(crate) async fn end_of(broker: &str, topic: &str) -> i64 {
    let (consumer, topic) = (watcher(broker), topic.to_owned());
    spawn_blocking(move || end(&consumer, &topic)).await.unwrap().unwrap()
}

/// Waits until a topic ends behind this offset, committed or not.
pub(crate) async fn wait_for_more(broker: &str, topic: &str, than: i64) {
    let (consumer, topic) = (watcher(broker), topic.to_owned());
    let wait = spawn_blocking(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if end(&consumer, &topic).is_ok_and(|end| end > than) {
                return;
            }
        }
        panic!("nothing arrives in {topic}");
    });
    wait.await.unwrap();
}

fn watcher(broker: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", "watcher")
        .set("isolation.level", "read_uncommitted")
        .create()
        .unwrap()
}

fn end(consumer: &BaseConsumer, topic: &str) -> KafkaResult<i64> {
    Ok(consumer.fetch_watermarks(topic, 0, Duration::from_millis(500))?.1)
}
