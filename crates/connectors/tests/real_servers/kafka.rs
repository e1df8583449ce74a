//! Tests the Kafka source on a real broker. Never reads what a Milvus has written: the records are
//! made here.

use crate::support::{client_files, make_certificates, own_kafka, secured, shared_kafka, soon};
use bytes::Bytes;
use connectors::kafka::{Kafka, KafkaOptions};
use connectors::{KafkaLogin, Secret};
use lab::{Listener, Server};
use milvus_wire::position::MessageId;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use replication::error::Kind;
use replication::ports::{ChannelReader, Source};
use std::time::{Duration, Instant};

pub(crate) fn at(offset: i64) -> MessageId {
    MessageId(Bytes::copy_from_slice(&offset.to_le_bytes()))
}

fn offset(id: &MessageId) -> i64 {
    i64::from_le_bytes(id.0.as_ref().try_into().unwrap())
}

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

async fn take(reader: &mut Box<dyn ChannelReader>, count: usize) -> Vec<(i64, Vec<u8>)> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let record = soon(reader.next()).await.unwrap();
        taken.push((offset(&record.id), record.payload.to_vec()));
    }
    taken
}

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    range.map(|number| number.to_le_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_read_in_order_from_an_offset() {
    let broker = shared_kafka().broker();
    produce(&broker, "ordered", numbers(0..1000)).await;
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut reader = kafka.open("ordered", &at(100)).await.unwrap();
    for (place, (offset, payload)) in take(&mut reader, 900).await.into_iter().enumerate() {
        assert_eq!(offset, place as i64 + 100);
        assert_eq!(payload, (place as u32 + 100).to_le_bytes());
    }
    assert!(reader.try_next().unwrap().is_none(), "the end is no error");
    assert_eq!(soon(kafka.end("ordered")).await.unwrap(), at(1000));

    // Cancelled waits lose nothing.
    for _ in 0..20 {
        let waited = tokio::time::timeout(Duration::from_millis(5), reader.next()).await;
        assert!(waited.is_err());
    }
    produce(&broker, "ordered", numbers(1000..1001)).await;
    assert_eq!(take(&mut reader, 1).await[0].0, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_waited_for_and_found_within_seconds() {
    let broker = shared_kafka().broker();
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let asked = Instant::now();
    assert_eq!(soon(kafka.end("later")).await.unwrap(), at(0));
    assert!(soon(kafka.newest("later", 3)).await.unwrap().is_empty());
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let mut reader = kafka.open("later", &at(0)).await.unwrap();
    // Long enough for librdkafka to have told that the topic is unknown.
    let waited = tokio::time::timeout(Duration::from_secs(5), reader.next()).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(soon(kafka.end("later")).await.unwrap(), at(0), "nobody creates the topic");
    produce(&broker, "later", numbers(0..3)).await;
    let created = Instant::now();
    assert_eq!(take(&mut reader, 3).await.len(), 3);
    println!("a new topic was read after {:?}", created.elapsed());
    assert!(created.elapsed() < Duration::from_secs(4), "{:?}", created.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_is_not_held_is_permanent_and_says_what_is_lost() {
    let broker = shared_kafka().broker();
    produce(&broker, "trimmed", numbers(0..100)).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &broker).create().unwrap();
    let mut trim = TopicPartitionList::new();
    trim.add_partition_offset("trimmed", 0, Offset::Offset(40)).unwrap();
    admin.delete_records(&trim, &AdminOptions::new()).await.unwrap();

    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    for (from, told) in [(10, "30 messages are lost"), (500, "beyond the end")] {
        let mut reader = kafka.open("trimmed", &at(from)).await.unwrap();
        let error = soon(reader.next()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Permanent, "{error:?}");
        for told in ["trimmed", &format!("offset {from}"), "40 to 100", told] {
            assert!(error.what.contains(told), "{told} is not in: {error}");
        }
    }
    let mut reader = kafka.open("trimmed", &at(40)).await.unwrap();
    assert_eq!(take(&mut reader, 60).await[0].0, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_can_be_closed_and_reopened_elsewhere_at_once() {
    let broker = shared_kafka().broker();
    produce(&broker, "reopened", numbers(0..20_000)).await;
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    for round in 0..60_i64 {
        let from = (round * 7919) % 19_000;
        let mut reader = kafka.open("reopened", &at(from)).await.unwrap();
        // Close at different moments: before the first fetch, in it, with a full queue.
        if round % 3 == 0 {
            continue;
        }
        let count = [1, 50, 900][round as usize % 3];
        for (place, (offset, payload)) in take(&mut reader, count).await.into_iter().enumerate() {
            assert_eq!(offset, from + place as i64, "round {round}");
            assert_eq!(payload, (offset as u32).to_le_bytes());
        }
    }
}

/// What is held keeps its channel's queue alive, and takes the wake-ups with it when it goes: the
/// next reader needs its own. Without, each message waits for the five seconds after which a reader
/// looks anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_stays_readable_and_the_next_reader_of_its_channel_is_woken() {
    let broker = shared_kafka().broker();
    let large = |number: u8| vec![number; 100 << 10];
    produce(&broker, "held", (0..3).map(large)).await;
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut first = kafka.open("held", &at(0)).await.unwrap();
    let held = soon(first.next()).await.unwrap().payload;
    drop(first);
    let mut second = kafka.open("held", &at(0)).await.unwrap();
    let offsets: Vec<_> =
        take(&mut second, 3).await.into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(held, large(0));
    drop(held);
    let begun = Instant::now();
    for number in 3..6 {
        let next = tokio::spawn(async move {
            let record = soon(second.next()).await.unwrap();
            (second, record)
        });
        produce(&broker, "held", [large(number)]).await;
        let (reader, record) = next.await.unwrap();
        assert_eq!(record.payload, large(number));
        second = reader;
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "not woken: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_readers_of_a_channel_do_not_disturb_each_other() {
    let broker = shared_kafka().broker();
    produce(&broker, "shared", numbers(0..100)).await;
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut first = kafka.open("shared", &at(0)).await.unwrap();
    assert_eq!(take(&mut first, 10).await[9].0, 9);
    let mut second = kafka.open("shared", &at(50)).await.unwrap();
    assert_eq!(take(&mut second, 10).await[9].0, 59);
    drop(second);
    assert_eq!(take(&mut first, 90).await[0].0, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_entries_are_read_without_disturbing_readers() {
    let broker = shared_kafka().broker();
    let topics: Vec<_> = (0..16).map(|number| format!("newest_{number}")).collect();
    for topic in &topics {
        produce(&broker, topic, numbers(0..50).chain([vec![7; 3 << 20]])).await;
    }
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut reader = kafka.open(&topics[3], &at(0)).await.unwrap();
    assert_eq!(take(&mut reader, 5).await[4].0, 4);
    for round in 0..3 {
        let begun = Instant::now();
        for topic in &topics {
            let newest = soon(kafka.newest(topic, 2)).await.unwrap();
            let offsets: Vec<_> = newest.iter().map(|record| offset(&record.id)).collect();
            assert_eq!(offsets, [49, 50]);
            assert_eq!(newest[1].payload.len(), 3 << 20);
        }
        println!("round {round}: the newest of 16 channels took {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(soon(kafka.newest(&topics[0], 500)).await.unwrap().len(), 51);
    assert_eq!(take(&mut reader, 5).await[4].0, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_found_again() {
    let (mut server, _run) = own_kafka(lab::KafkaOptions::default());
    let broker = server.broker();
    produce(&broker, "restarted", numbers(0..10)).await;
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut reader = kafka.open("restarted", &at(0)).await.unwrap();
    assert_eq!(take(&mut reader, 10).await.len(), 10);
    server.kill().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(6), reader.next()).await;
    assert!(waited.is_err(), "a broker that is away is no error: {waited:?}");
    let error = soon(kafka.end("restarted")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Transient);
    // A channel opened meanwhile waits as well.
    let mut other = kafka.open("restarted", &at(5)).await.unwrap();
    server.bring_back().unwrap();
    produce(&broker, "restarted", numbers(10..11)).await;
    assert_eq!(take(&mut reader, 1).await[0].0, 10);
    assert_eq!(take(&mut other, 6).await[5].0, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_and_a_wrong_one_is_permanent() {
    let property =
        |key: &str, value: &str| (format!("listener.name.closed.{key}"), value.to_owned());
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_cdc=\"right\";";
    let (server, _run) = own_kafka(lab::KafkaOptions {
        listeners: vec![Listener { name: "CLOSED".into(), protocol: "SASL_PLAINTEXT".into() }],
        properties: vec![
            property("sasl.enabled.mechanisms", "PLAIN"),
            property("plain.sasl.jaas.config", login),
        ],
        ..lab::KafkaOptions::default()
    });
    produce(&server.broker(), "closed", numbers(0..3)).await;
    let with = |password: &str| KafkaOptions {
        login: KafkaLogin {
            username: "cdc".into(),
            password: Secret::new(password),
            ..KafkaLogin::default()
        },
        ..KafkaOptions::new(server.listener("CLOSED").unwrap())
    };
    let kafka = Kafka::new(with("right")).unwrap();
    let mut reader = kafka.open("closed", &at(0)).await.unwrap();
    assert_eq!(take(&mut reader, 3).await.len(), 3);
    assert_eq!(soon(kafka.newest("closed", 1)).await.unwrap().len(), 1);

    let kafka = Kafka::new(with("wrong")).unwrap();
    let mut reader = kafka.open("closed", &at(0)).await.unwrap();
    let error = soon(reader.next()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("Check user name, password"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_a_password_let_in_over_tls() {
    let files = tempfile::tempdir().unwrap();
    make_certificates(files.path());
    let (server, _run) = own_kafka(secured(files.path()));
    produce(&server.broker(), "secured", numbers(0..3)).await;
    let mut options = KafkaOptions {
        login: KafkaLogin {
            username: "cdc".into(),
            password: Secret::new("right"),
            mechanisms: "PLAIN".into(),
            protocol: "SASL_SSL".into(),
        },
        ..KafkaOptions::new(server.listener("TLS").unwrap())
    };
    options.consumer.extend(client_files(files.path()));
    let kafka = Kafka::new(options.clone()).unwrap();
    let mut reader = kafka.open("secured", &at(0)).await.unwrap();
    assert_eq!(take(&mut reader, 3).await.len(), 3);

    // The broker's certificate is not one that we trust.
    options.consumer.remove("ssl.ca.location");
    let kafka = Kafka::new(options).unwrap();
    let error = soon(kafka.end("secured")).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
}
