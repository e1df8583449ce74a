//! Tests tasks that write to a Kafka: its consumers see the rows of the source, also after
//! milvus-cdc or that Kafka was killed. It is never the Kafka of the source.

use std::collections::{BTreeMap, BTreeSet};

use lab::{Kafka, KafkaOptions, READY_WITHIN, Server};
use milvus_wire::proto::schema::field_data::Field;
use milvus_wire::proto::schema::scalar_field::Data;
use milvus_wire::proto::schema::{DataType, FieldData, vector_field};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::compare::Table as Compared;
use testkit::flink::{Flink, Table};
use testkit::milvus::{CollectionSpec, FieldKind, Key, Query, Reading};
use testkit::replicate_log::ReplicateLog;
use testkit::rows::Digest;
use testkit::topic::{self, Record};
use testkit::wait;
use testkit::workload::{Running, Workload};

use super::bench::{Bench, EQUAL_WITHIN};
use super::faults::gets_beyond;

/// How often milvus-cdc is killed in a test.
const KILLS: usize = 5;

pub(crate) struct Broker {
    kafka: Kafka,
    _folder: TempDir,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let installed = lab::install_servers().unwrap();
        let folder = TempDir::new().unwrap();
        let at = folder.path().join("kafka");
        let mut kafka = Kafka::start(&installed, &at, KafkaOptions::default()).unwrap();
        kafka.wait_ready(READY_WITHIN).unwrap();
        Self { kafka, _folder: folder }
    }

    pub(crate) fn address(&self) -> String {
        self.kafka.broker()
    }

    pub(crate) async fn records(&self, topic: &str) -> Vec<Record> {
        let (kafka, topic) = (self.address(), topic.to_owned());
        tokio::task::spawn_blocking(move || topic::records(&kafka, &topic)).await.unwrap().unwrap()
    }
}

/// Everything of the default database into a Kafka.
fn request(broker: &Broker, id: &str, more: &Value) -> Value {
    let mut kafka = json!({"address": broker.address()});
    for (key, value) in more.as_object().unwrap() {
        kafka[key] = value.clone();
    }
    json!({
        "task_id": id,
        "kafka_connect_param": kafka,
        "collection_infos": [{"name": "*"}],
    })
}

async fn writes(running: &Running, more: u64) {
    let enough = running.stats().acknowledged() + more;
    wait::until(format!("{more} more writes"), EQUAL_WITHIN, || async {
        let stats = running.stats();
        anyhow::ensure!(stats.acknowledged() >= enough, "{stats:?}");
        Ok(Some(()))
    })
    .await
    .unwrap();
}

/// Writes while milvus-cdc is killed, and waits until all of it is through.
async fn write_and_kill(bench: &mut Bench, task: &str, spec: &CollectionSpec, seed: u64) {
    bench.source.create_ready(spec).await.unwrap();
    let running = Workload::mixed(vec![spec.clone()], seed).start(&bench.source).unwrap();
    for _ in 0..KILLS {
        let before = bench.source.clock().await.unwrap().ms();
        writes(&running, 300).await;
        gets_beyond(bench, task, before).await;
        bench.service.kill().unwrap();
        bench.service.restart().await.unwrap();
    }
    writes(&running, 300).await;
    running.stop().await.unwrap();
    all_through(bench, task).await;
}

async fn all_through(bench: &Bench, task: &str) {
    let now = bench.source.clock().await.unwrap().ms();
    gets_beyond(bench, task, now).await;
}

pub(crate) fn titles() -> CollectionSpec {
    CollectionSpec::new("titles")
        .int64_key("id")
        .field("title", FieldKind::VarChar(200))
        .field("seen", FieldKind::Plain(DataType::Bool))
        .field("price", FieldKind::Plain(DataType::Double))
        .field("more", FieldKind::Plain(DataType::Json))
        .field("vector", FieldKind::FloatVector(8))
        .shards(2)
}

const TITLES: Table<'_> = Table {
    columns: &[
        ("id", "BIGINT"),
        ("title", "STRING"),
        ("seen", "BOOLEAN"),
        ("price", "DOUBLE"),
        ("more", "STRING"),
        ("vector", "ARRAY<FLOAT>"),
    ],
    key: "id",
};

/// Inserts, upserts and deletes, exactly once through kills, materialised by a job of Flink.
#[tokio::test(flavor = "multi_thread")]
async fn flink_makes_of_change_events_what_the_source_holds() {
    let (flink, broker) = (Flink::install().unwrap(), Broker::start());
    let mut bench = Bench::new().await;
    let topics = json!({
        "topic": "{task}.{database}.{collection}", "partitions": 3, "tombstones": true,
        "format": "change_event", "delivery": "exactly_once",
    });
    let task = bench.task_as(request(&broker, "events", &topics)).await;
    let spec = titles();
    write_and_kill(&mut bench, &task, &spec, 31).await;

    let topic = "events.default.titles";
    let left = flink.materialise(&broker.address(), topic, &TITLES).await.unwrap();
    let left: BTreeMap<i64, Value> =
        left.values().map(|row| (row["id"].as_i64().unwrap(), plain(row))).collect();
    let query = Query { reading: Reading::Strong, ..Query::of("titles", "id >= 0") };
    let held = rows(&bench.source.query(&query).await.unwrap());
    assert!(held.len() > 500, "{} rows", held.len());
    assert_eq!(left.len(), held.len());
    assert!(left == held, "{:?}", held.iter().find(|(id, row)| left.get(id) != Some(row)));

    let records = broker.records(topic).await;
    let origin = |record: &Record| (record.headers.clone(), record.value.is_none());
    let once: BTreeSet<_> = records.iter().map(origin).collect();
    assert_eq!(once.len(), records.len(), "no row is told of twice");
    let mut place: BTreeMap<_, BTreeSet<i32>> = BTreeMap::new();
    for record in &records {
        place.entry(record.key.clone()).or_default().insert(record.partition);
    }
    assert!(place.values().all(|partitions| partitions.len() == 1), "a key has one partition");
    assert!(
        place.values().flatten().collect::<BTreeSet<_>>().len() == 3,
        "all partitions are used"
    );

    bench.source.drop_collection("titles").await.unwrap();
    wait::until("the drop among the events", EQUAL_WITHIN, || async {
        let events = broker.records("events.events").await;
        let events = events.iter().map(|e| serde_json::from_slice(e.value.as_ref().unwrap()));
        let events: Vec<Value> = events.collect::<Result<_, _>>()?;
        let of = |kind: &str| events.iter().filter(|e| e["type"] == kind).count();
        anyhow::ensure!(of("progress") > 0 && of("create_collection") == 1, "{events:?}");
        Ok((of("drop_collection") == 1).then_some(()))
    })
    .await
    .unwrap();
    bench.finish().await;
}

/// A row as Flink writes it: nested JSON as text, vectors with more digits than needed.
fn plain(row: &Value) -> Value {
    let mut row = row.clone();
    row["more"] = serde_json::from_str(row["more"].as_str().unwrap()).unwrap();
    let numbers = row["vector"].as_array().unwrap().iter();
    row["vector"] = numbers.map(|number| number.as_f64().unwrap() as f32).collect();
    row
}

/// What the source holds, in the same form.
pub(crate) fn rows(columns: &[FieldData]) -> BTreeMap<i64, Value> {
    let values = columns.iter().map(|column| (column.field_name.clone(), values(column)));
    let values: BTreeMap<String, Vec<Value>> = values.collect();
    let row = |at: usize| -> Value {
        values.iter().map(|(name, values)| (name.clone(), values[at].clone())).collect()
    };
    let ids = values["id"].iter().enumerate();
    ids.map(|(at, id)| (id.as_i64().unwrap(), row(at))).collect()
}

fn values(column: &FieldData) -> Vec<Value> {
    match column.field.as_ref().unwrap() {
        Field::Scalars(scalars) => match scalars.data.as_ref().unwrap() {
            Data::LongData(all) => all.data.iter().map(|value| json!(value)).collect(),
            Data::BoolData(all) => all.data.iter().map(|value| json!(value)).collect(),
            Data::DoubleData(all) => all.data.iter().map(|value| json!(value)).collect(),
            Data::StringData(all) => all.data.iter().map(|value| json!(value)).collect(),
            Data::JsonData(all) => {
                all.data.iter().map(|value| serde_json::from_slice(value).unwrap()).collect()
            }
            other => panic!("{other:?}"),
        },
        Field::Vectors(vectors) => match vectors.data.as_ref().unwrap() {
            vector_field::Data::FloatVector(all) => {
                all.data.chunks(vectors.dim as usize).map(|vector| json!(vector)).collect()
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The Go tool's format into one partition, while milvus-cdc and the target are killed.
async fn the_go_tool_s_format(id: &str, delivery: &str, seed: u64) -> ReplicateLog {
    let mut broker = Broker::start();
    let mut bench = Bench::new().await;
    let topics = json!({"topic": id, "delivery": delivery, "partitions": 1});
    let task = bench.task_as(request(&broker, id, &topics)).await;
    let spec = CollectionSpec::small(id, 16).shards(2);
    write_and_kill(&mut bench, &task, &spec, seed).await;
    let running = Workload { first_key: 1 << 32, ..Workload::mixed(vec![spec.clone()], seed + 1) };
    let running = running.start(&bench.source).unwrap();
    writes(&running, 300).await;
    broker.kafka.kill().unwrap();
    writes(&running, 300).await;
    broker.kafka.bring_back().unwrap();
    writes(&running, 300).await;
    running.stop().await.unwrap();
    all_through(&bench, &task).await;

    let (kafka, topic) = (broker.address(), id.to_owned());
    let read = move || ReplicateLog::read(&kafka, &topic, "id");
    let log = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    let held = Compared::read(&bench.source, id, Reading::Strong).await.unwrap();
    let held: BTreeMap<Key, Digest> =
        held.partitions.into_values().flat_map(|partition| partition.rows).collect();
    assert!(held.len() > 500, "{} rows", held.len());
    assert!(log.rows[id] == held, "{} rows there, {} here", log.rows[id].len(), held.len());
    assert!(log.kinds["create collection"] >= 1, "{:?}", log.kinds);
    assert!(log.kinds["create index"] >= 1, "{:?}", log.kinds);
    bench.source.drop_collection(id).await.unwrap();
    bench.finish().await;
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_tool_s_format_has_every_row_at_least_once() {
    the_go_tool_s_format("go_format", "at_least_once", 41).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_go_tool_s_format_has_every_row_exactly_once_in_transactions() {
    let log = the_go_tool_s_format("go_exact", "exactly_once", 43).await;
    let twice: Vec<_> = log.messages.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert_eq!(log.kinds["create collection"], 1);
}
