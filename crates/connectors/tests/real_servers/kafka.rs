//! Tests what is particular to the Kafka source on a real broker. `conformance` has what every
//! source must pass. Never reads what a Milvus has written: the records are
//! made here.

use crate::support::{client_files, make_certificates, own_kafka, secured, shared_kafka, soon};
use crate::topics::produce;
use bytes::Bytes;
use connectors::kafka::{Kafka, KafkaOptions};
use connectors::{KafkaLogin, Secret};
use lab::Listener;
use milvus_wire::position::MessageId;
use replication::error::Kind;
use replication::ports::{ChannelReader, Source};
use std::time::{Duration, Instant};

pub(crate) fn at(offset: i64) -> MessageId {
    MessageId(Bytes::copy_from_slice(&offset.to_le_bytes()))
}

fn offset(id: &MessageId) -> i64 {
    i64::from_le_bytes(id.0.as_ref().try_into().unwrap())
}

async fn take(reader: &mut Box<dyn ChannelReader>, count: usize) -> Vec<(i64, Vec<u8>)> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let record = soon(reader.next()).await.unwrap();
        taken.push((offset(&record.id), record.payload.to_vec()));
    }
    taken
}

pub(crate) fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = Vec<u8>> {
    range.map(|number| number.to_le_bytes().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_the_offsets_that_milvus_stores() {
    let broker = shared_kafka().broker();
    produce(&broker, "ordered", numbers(0..200)).await;
    let kafka = Kafka::new(KafkaOptions::new(&broker)).unwrap();
    let mut reader = kafka.open("ordered", &at(100)).await.unwrap();
    for (place, (offset, payload)) in take(&mut reader, 100).await.into_iter().enumerate() {
        assert_eq!(offset, place as i64 + 100);
        assert_eq!(payload, (place as u32 + 100).to_le_bytes());
    }
    assert_eq!(soon(kafka.end("ordered")).await.unwrap(), at(200));
    assert_eq!(soon(kafka.end("not-there")).await.unwrap(), at(0));
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
async fn a_password_lets_in_and_a_wrong_one_is_permanent() {
    let property =
        |key: &str, value: &str| (format!("listener.name.closed.{key}"), value.to_owned());
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_cdc=\"right\";";
    let (server, _run) = own_kafka(lab::KafkaOptions {
        listeners: vec![Listener::new("CLOSED", "SASL_PLAINTEXT")],
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
