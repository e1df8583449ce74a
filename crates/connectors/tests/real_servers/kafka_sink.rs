//! Tests what is particular to the Kafka sink on a real broker. `conformance` has what every sink
//! must pass. Never trusts what the sink says it wrote: the topics are read.

use crate::support::{client_files, make_certificates, own_kafka, secured, shared_kafka, soon};
use crate::topics::{self, make_topic, wait_for_more};
use connectors::kafka_sink::{Format, KafkaSink, KafkaSinkOptions};
use connectors::{KafkaLogin, Secret};
use lab::{Listener, Server};
use milvus_wire::ids::{CollectionId, CollectionName};
use milvus_wire::message::decode;
use milvus_wire::position::MessageId;
use milvus_wire::proto::common::{MsgBase, MsgType};
use milvus_wire::proto::msg::{DeleteRequest, InsertRequest};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::i_ds::IdField;
use milvus_wire::proto::schema::scalar_field::Data as Scalars;
use milvus_wire::proto::schema::{FieldData, IDs, LongArray, ScalarField, StringArray};
use milvus_wire::timestamp::Timestamp;
use rdkafka::Message as _;
use rdkafka::message::Headers as _;
use replication::error::Kind;
use replication::message::Entry;
use replication::message::Read;
use replication::message::{Place, Routed};
use replication::ports::{Change, Ddl, Sink};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// One second after 1970.
const TT: u64 = 1000 << 18;

fn base(kind: MsgType, timestamp: u64) -> Option<MsgBase> {
    Some(MsgBase { msg_type: kind.into(), timestamp, ..Default::default() })
}

/// Rows of the collection `shop.books`, each with a text of this size.
fn insert(keys: &[i64], at: u64, text_bytes: usize) -> Routed {
    let column = |field_id, name: &str, data| FieldData {
        field_id,
        field_name: name.into(),
        field: Some(Field::Scalars(ScalarField { data: Some(data), ..Default::default() })),
        ..Default::default()
    };
    let texts = vec!["x".repeat(text_bytes); keys.len()];
    let request = InsertRequest {
        base: base(MsgType::Insert, at),
        shard_name: "dml_3_7v0".into(),
        partition_name: "_default".into(),
        collection_id: 7,
        timestamps: vec![at; keys.len()],
        num_rows: keys.len() as u64,
        fields_data: vec![
            column(100, "id", Scalars::LongData(LongArray { data: keys.to_vec() })),
            column(101, "text", Scalars::StringData(StringArray { data: texts })),
        ],
        ..Default::default()
    };
    routed(&request, at)
}

fn delete(keys: &[i64], at: u64) -> Routed {
    let request = DeleteRequest {
        base: base(MsgType::Delete, at),
        shard_name: "dml_3_7v0".into(),
        collection_id: 7,
        timestamps: vec![at; keys.len()],
        num_rows: keys.len() as i64,
        primary_keys: Some(IDs { id_field: Some(IdField::IntId(LongArray { data: keys.into() })) }),
        ..Default::default()
    };
    routed(&request, at)
}

fn place() -> Place {
    Place {
        name: CollectionName::new("shop", "books"),
        id: CollectionId(7),
        vchannels: vec!["dml_3_7v0".into()],
        lanes: vec!["dml_3".into()],
        primary_key: 100,
        key_name: "id".into(),
    }
}

fn routed(message: &impl prost::Message, seq: u64) -> Routed {
    let entry = Entry {
        seq,
        id: MessageId(seq.to_le_bytes().to_vec().into()),
        order: Timestamp(seq),
        message: decode(message.encode_to_vec().into()).unwrap(),
    };
    let read = Read { channel: "dml_3".into(), entry };
    Routed { read, place: Arc::new(place()), shard: 0, partition: None }
}

/// Not what a task sends: the rows of one message under one mark.
async fn append(sink: &KafkaSink, mark: &str, routed: &[Routed]) -> replication::error::Result<()> {
    let changes: Vec<_> = routed.iter().map(Change::Message).collect();
    sink.append(mark, &changes).await
}

fn by_row(task: &str, broker: &str) -> KafkaSinkOptions {
    KafkaSinkOptions {
        format: Format::ChangeEvent,
        ..KafkaSinkOptions::new(task, broker, "{task}.{database}.{collection}")
    }
}

async fn opened(options: KafkaSinkOptions) -> KafkaSink {
    let sink = KafkaSink::new(options).unwrap();
    soon(sink.open()).await.unwrap();
    sink
}

/// A record as a reader gets it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    partition: i32,
    /// When it was made or, in a topic that asks the broker, appended.
    at: i64,
    key: String,
    pub(crate) value: Option<Value>,
    headers: Vec<(String, String)>,
}

impl Got {
    pub(crate) fn op(&self) -> &str {
        self.value.as_ref().map_or("tombstone", |value| value["op"].as_str().unwrap())
    }

    pub(crate) fn id(&self) -> i64 {
        serde_json::from_str::<Value>(&self.key).unwrap()["id"].as_i64().unwrap()
    }
}

/// All records of a topic that are committed, each partition up to its end.
pub(crate) async fn read(broker: &str, topic: &str) -> Vec<Got> {
    topics::read(broker, topic, |record| Got {
        partition: record.partition(),
        at: record.timestamp().to_millis().unwrap(),
        key: String::from_utf8(record.key().unwrap_or_default().to_vec()).unwrap(),
        value: record.payload().map(|value| serde_json::from_slice(value).unwrap()),
        headers: headers_of(record),
    })
    .await
}

fn headers_of(record: &rdkafka::message::BorrowedMessage<'_>) -> Vec<(String, String)> {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let headers = record.headers().map(|headers| headers.iter().collect()).unwrap_or(vec![]);
    headers.into_iter().map(|header| (header.key.to_owned(), text(header.value))).collect()
}

/// Reads until it has so many committed records: a transaction shows a moment behind its commit.
async fn read_when(broker: &str, topic: &str, count: usize) -> Vec<Got> {
    soon(async {
        loop {
            let got = read(broker, topic).await;
            if got.len() >= count {
                return got;
            }
        }
    })
    .await
}

fn keys(got: &[Got]) -> Vec<i64> {
    got.iter().map(Got::id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_arrive_in_the_order_of_their_key_with_topics_as_asked_for() {
    let broker = shared_kafka().broker();
    let options = KafkaSinkOptions {
        partitions: Some(4),
        tombstones: true,
        progress_every: Duration::ZERO,
        ..by_row("ordered", &broker)
    };
    let sink = opened(options).await;
    let keys: Vec<_> = (0..100).collect();
    let changes: Vec<_> = (0..5_u64)
        .flat_map(|round| {
            let at = TT + 2 * round;
            [delete(&keys, at), insert(&keys, at + 1, 10)]
        })
        .collect();
    soon(append(&sink, "1", &changes)).await.unwrap();
    let ddl = Ddl::CreateDatabase("shop".into());
    let channels = [Arc::from("dml_3")];
    let tick = Change::Tick { channels: &channels, at: Timestamp(TT + 50) };
    soon(sink.append("2", &[Change::Request(&ddl, Timestamp(TT)), tick])).await.unwrap();
    assert!(sink.holds("1") && sink.holds("2") && !sink.holds("3") && !sink.is_exact());

    let got = read(&broker, "ordered.shop.books").await;
    assert_eq!(got.len(), 100 * 5 * 3);
    let mut by_key: BTreeMap<i64, Vec<&Got>> = BTreeMap::new();
    for record in &got {
        by_key.entry(record.id()).or_default().push(record);
    }
    assert_eq!(by_key.len(), 100);
    let mut partitions: Vec<_> = got.iter().map(|record| record.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    assert_eq!(partitions, [0, 1, 2, 3]);
    for records in by_key.values() {
        assert!(records.iter().all(|record| record.partition == records[0].partition));
        let ops: Vec<_> = records.iter().map(|record| record.op()).collect();
        assert_eq!(ops, ["d", "tombstone", "c"].repeat(5));
        let headers: BTreeMap<_, _> = records[2].headers.iter().cloned().collect();
        assert_eq!(headers["milvus.channel"], "dml_3");
        assert_eq!(headers["milvus.tt"], (TT + 1).to_string());
        assert_eq!(headers["milvus.row"], records[2].id().to_string());
    }
    let events = read(&broker, "ordered.events").await;
    let kinds: Vec<_> = events.iter().map(|e| e.value.as_ref().unwrap()["type"].clone()).collect();
    assert_eq!(kinds, ["create_database", "progress"]);
    assert!(events.iter().all(|event| event.partition == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_tools_format_arrives_split_and_in_order() {
    let broker = shared_kafka().broker();
    let options = KafkaSinkOptions {
        record_bytes: 100_000,
        partitions: Some(3),
        ..KafkaSinkOptions::new("go", &broker, "{task}.replicate")
    };
    let sink = opened(options).await;
    let rows: Vec<_> = (0..50).map(|key| insert(&[key], TT + key as u64, 20_000)).collect();
    let mut changes: Vec<_> = rows.iter().map(Change::Message).collect();
    let channels = [Arc::from("dml_3")];
    changes.push(Change::Tick { channels: &channels, at: Timestamp(TT + 99) });
    soon(sink.append("1", &changes)).await.unwrap();
    let got = read(&broker, "go.replicate").await;
    assert!(got.len() > 10, "{}", got.len());
    let mut last = 0;
    for record in &got {
        assert_eq!(record.partition, got[0].partition);
        let value = record.value.as_ref().unwrap();
        assert_eq!(value["info"], "replicate message");
        let data: Value = serde_json::from_str(value["data"].as_str().unwrap()).unwrap();
        assert_eq!(data["ChannelName"], "dml_3");
        let begin = data["BeginTs"].as_u64().unwrap();
        assert!(begin > last);
        last = data["EndTs"].as_u64().unwrap();
    }
    assert_eq!(last, TT + 99);
}

/// What the producer would send sooner is appended later, because it comes later: a full batch goes
/// at once, one that is not full half a second later, and each partition has its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_place_among_the_rows_of_all_partitions() {
    const FULL: usize = 20_000;
    let broker = shared_kafka().broker();
    let lingering = |options: KafkaSinkOptions| KafkaSinkOptions {
        producer: [("linger.ms", "500"), ("batch.size", "10000")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..options
    };
    let (rows, requests) = ("placed.shop.books", "placed.events");
    // Records that say when the broker appended them.
    let clocked = [("message.timestamp.type", "LogAppendTime")];
    for (topic, partitions) in [(rows, 4), (requests, 1), ("placed.replicate", 3)] {
        make_topic(&broker, topic, partitions, &clocked).await;
    }
    let request = |partition: &str| Ddl::DropPartition {
        collection: CollectionName::new("shop", "books"),
        partition: partition.into(),
    };
    let (large, small) = (request(&"p".repeat(FULL)), request("p"));
    let (first, last) = (insert(&[1], TT, 10), insert(&[2], TT + 3, FULL));
    let changes = [
        Change::Message(&first),
        Change::Request(&large, Timestamp(TT + 1)),
        Change::Request(&small, Timestamp(TT + 2)),
        Change::Message(&last),
    ];

    let sink = opened(lingering(by_row("placed", &broker))).await;
    soon(sink.append("1", &changes)).await.unwrap();
    let (rows, requests) = (read(&broker, rows).await, read(&broker, requests).await);
    let row = |key| rows.iter().find(|row| row.id() == key).unwrap().at;
    let times = [row(1), requests[0].at, requests[1].at, row(2)];
    assert!(times.is_sorted(), "{times:?}");

    let go = KafkaSinkOptions::new("placed", &broker, "{task}.replicate");
    let sink = opened(lingering(go)).await;
    soon(sink.append("1", &changes)).await.unwrap();
    let mut got = read(&broker, "placed.replicate").await;
    got.sort_by_key(|record| record.at);
    let is_request = |record: &Got| record.value.as_ref().unwrap()["info"] == "drop partition";
    let requests: Vec<_> = got.iter().map(is_request).collect();
    assert_eq!(requests, [false, true, true, false], "{got:?}");
    assert!(got.iter().all(|record| (record.partition == 0) == is_request(record)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_comes_back_in_an_append_loses_nothing() {
    let (mut server, _run) = own_kafka(lab::KafkaOptions::default());
    let broker = server.broker();
    let sink = opened(by_row("killed", &broker)).await;
    let rows: Vec<_> = (0..600).map(|key| insert(&[key], TT + key as u64, 200_000)).collect();
    let appending = tokio::spawn(async move {
        append(&sink, "1", &rows).await.unwrap();
        sink
    });
    wait_for_more(&broker, "killed.shop.books", 0).await;
    let server = spawn_blocking(move || {
        server.kill().unwrap();
        server
    });
    let mut server = server.await.unwrap();
    assert!(!appending.is_finished(), "the append was over before the broker was killed");
    let server = spawn_blocking(move || {
        server.bring_back().unwrap();
        server
    });
    let _server = server.await.unwrap();
    let sink = tokio::time::timeout(Duration::from_secs(120), appending).await.unwrap().unwrap();
    assert!(sink.holds("1"));
    let got = read(&broker, "killed.shop.books").await;
    assert_eq!(keys(&got), (0..600).collect::<Vec<_>>());
}

/// The broker is away while the append is cut off, so that much of it still waits to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_append_that_was_cut_off_comes_behind_the_next_open() {
    let (mut server, _run) = own_kafka(lab::KafkaOptions::default());
    let broker = server.broker();
    let topic = "reopened.shop.books";
    let sink = opened(by_row("reopened", &broker)).await;
    let rows: Vec<_> = (0..600).map(|key| insert(&[key], TT, 200_000)).collect();
    let kill_in_the_middle = async {
        wait_for_more(&broker, topic, 0).await;
        spawn_blocking(move || {
            server.kill().unwrap();
            server
        })
        .await
        .unwrap()
    };
    let mut server = tokio::select! {
        biased;
        server = kill_in_the_middle => server,
        done = append(&sink, "1", &rows) => panic!("over before it was cut off: {done:?}"),
    };
    let back = spawn_blocking(move || {
        server.bring_back().unwrap();
        server
    });
    let _server = back.await.unwrap();
    assert_eq!(append(&sink, "2", &[]).await.unwrap_err().kind, Kind::Transient);
    soon(sink.open()).await.unwrap();
    assert!(!sink.holds("1"));
    // A producer that was left over would have connected again by the end of this.
    let until = Instant::now() + Duration::from_secs(5);
    let mut own = Vec::new();
    while Instant::now() < until {
        let key = 1000 + own.len() as i64;
        soon(append(&sink, &key.to_string(), &[insert(&[key], TT, 10)])).await.unwrap();
        own.push(key);
        let got = keys(&read(&broker, topic).await);
        let (before, behind) = got.split_at(got.len() - own.len());
        assert_eq!(behind, own);
        // What came of the first append is its beginning.
        assert_eq!(before, (0..before.len() as i64).collect::<Vec<_>>());
        assert!((1..600).contains(&before.len()), "{}", before.len());
    }
}

fn exactly(task: &str, broker: &str) -> KafkaSinkOptions {
    KafkaSinkOptions { exact: true, ..by_row(task, broker) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_is_all_or_nothing_with_its_records() {
    let broker = shared_kafka().broker();
    let sink = opened(exactly("whole", &broker)).await;
    let good = insert(&[1], TT, 10);
    let large = insert(&[2], TT, 17 << 20);
    let error = soon(append(&sink, "1", &[good.clone(), large])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(!sink.holds("1"));
    soon(sink.open()).await.unwrap();
    assert!(!sink.holds("1"));
    // Neither does it leave anything if a later message can't be shown.
    let mut unreadable = good.clone();
    unreadable.place = Arc::new(Place { primary_key: 999, ..place() });
    let error = soon(append(&sink, "1", &[good, unreadable])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    soon(sink.open()).await.unwrap();
    assert!(!sink.holds("1"));
    for n in 2..40 {
        soon(append(&sink, &n.to_string(), &[insert(&[n], TT, 10)])).await.unwrap();
    }
    assert_eq!(
        keys(&read_when(&broker, "whole.shop.books", 38).await),
        (2..40).collect::<Vec<_>>()
    );
    soon(sink.open()).await.unwrap();
    assert!((24..40).all(|n| sink.holds(&n.to_string())) && !sink.holds("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_permanent_and_says_what_to_raise() {
    let broker = shared_kafka().broker();
    let sink = opened(by_row("large", &broker)).await;
    let error = soon(append(&sink, "1", &[insert(&[1], TT, 17 << 20)])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("message.max.bytes"), "{error}");
    assert!(error.what.contains("large.shop.books"), "{error}");
    soon(sink.open()).await.unwrap();
    soon(append(&sink, "2", &[insert(&[2], TT, 10)])).await.unwrap();
    assert_eq!(keys(&read(&broker, "large.shop.books").await), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_lets_in_and_a_wrong_one_is_told() {
    let property =
        |key: &str, value: &str| (format!("listener.name.closed.{key}"), value.to_owned());
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 user_cdc=\"right\" user_guest=\"right\";";
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    let (server, _run) = own_kafka(lab::KafkaOptions {
        listeners: vec![Listener::new("CLOSED", "SASL_PLAINTEXT")],
        properties: vec![
            property("sasl.enabled.mechanisms", "PLAIN"),
            property("plain.sasl.jaas.config", login),
            ("authorizer.class.name".into(), authorizer.into()),
            ("super.users".into(), "User:ANONYMOUS;User:cdc".into()),
        ],
        ..lab::KafkaOptions::default()
    });
    let with = |username: &str, password: &str| KafkaSinkOptions {
        login: KafkaLogin {
            username: username.into(),
            password: Secret::new(password),
            ..KafkaLogin::default()
        },
        ..exactly("closed", &server.listener("CLOSED").unwrap())
    };
    let sink = opened(with("cdc", "right")).await;
    soon(append(&sink, "1", &[insert(&[1], TT, 10)])).await.unwrap();
    assert_eq!(keys(&read_when(&server.broker(), "closed.shop.books", 1).await), [1]);

    let error = soon(KafkaSink::new(with("cdc", "wrong")).unwrap().open()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("Check user name, password"), "{error}");

    // Who may log in may not write yet.
    let guest = |exact| KafkaSinkOptions { exact, ..with("guest", "right") };
    let error = soon(KafkaSink::new(guest(true)).unwrap().open()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("transactional id"), "{error}");
    let sink = opened(guest(false)).await;
    let error = soon(append(&sink, "1", &[insert(&[1], TT, 10)])).await.unwrap_err();
    assert_eq!(error.kind, Kind::Permanent, "{error:?}");
    assert!(error.what.contains("allow"), "{error}");
}

/// As `docs/kafka-sink.md` lists them.
#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_user_needs_the_documented_rights_and_no_others() {
    let files = tempfile::tempdir().unwrap();
    make_certificates(files.path());
    let mut options = secured(files.path());
    let authorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
    options.properties.extend([
        ("authorizer.class.name".into(), authorizer.into()),
        ("super.users".into(), "User:ANONYMOUS".into()),
    ]);
    let (server, _run) = own_kafka(options);
    let address = server.listener("TLS").unwrap();
    let at_least_once = KafkaSinkOptions {
        login: KafkaLogin {
            username: "cdc".into(),
            password: Secret::new("right"),
            protocol: "SASL_SSL".into(),
            ..KafkaLogin::default()
        },
        producer: client_files(files.path()).into(),
        ..by_row("rights", &address)
    };
    let refused = async |options: &KafkaSinkOptions, what: &str| {
        let sink = KafkaSink::new(options.clone()).unwrap();
        let tried = async {
            sink.open().await?;
            append(&sink, "1", &[insert(&[1], TT, 10)]).await
        };
        let error = soon(tried).await.unwrap_err();
        assert_eq!(error.kind, Kind::Permanent, "{error:?}");
        assert!(error.what.contains(what), "{error}");
    };
    refused(&at_least_once, "allow").await;
    let topics = "--topic rights. --resource-pattern-type prefixed";
    server
        .allow(
            "cdc",
            &format!("{topics} --operation Create --operation Describe --operation Write"),
        )
        .unwrap();
    let sink = opened(at_least_once.clone()).await;
    soon(append(&sink, "1", &[insert(&[1], TT, 10)])).await.unwrap();
    assert_eq!(keys(&read_when(&server.broker(), "rights.shop.books", 1).await), [1]);

    let exactly_once = KafkaSinkOptions { exact: true, ..at_least_once };
    refused(&exactly_once, "transactional id").await;
    let id = "milvus-cdc-rights";
    let transactions = format!("--transactional-id {id} --operation Describe --operation Write");
    server.allow("cdc", &transactions).unwrap();
    refused(&exactly_once, "group").await;
    server.allow("cdc", &format!("--group {id} --operation Read")).unwrap();
    refused(&exactly_once, "allow").await;
    server.allow("cdc", "--topic rights.events --operation Read").unwrap();
    for mark in 2..4 {
        let sink = opened(exactly_once.clone()).await;
        soon(append(&sink, &mark.to_string(), &[insert(&[mark], TT, 10)])).await.unwrap();
    }
    assert_eq!(keys(&read_when(&server.broker(), "rights.shop.books", 3).await), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_before_an_open_is_transient() {
    let port = lab::claim_port().unwrap();
    let sink = KafkaSink::new(by_row("away", &port.address())).unwrap();
    assert_eq!(append(&sink, "1", &[]).await.unwrap_err().kind, Kind::Transient);
}
