//! Tests that Apache Flink understands change events in a real Kafka: its tables contain the rows
//! that the events leave. The events are written here, never by the product.

#![allow(clippy::unwrap_used)] // A test fails by a panic, and so do its helpers.

use std::time::Duration;

use lab::{Kafka, KafkaOptions, READY_WITHIN, Server};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::flink::{Flink, Table};
use testkit::topic::{self, Rows};

/// More than one, so that events of different rows have no order.
const PARTITIONS: i32 = 3;

const WRITTEN_WITHIN: Duration = Duration::from_secs(20);

/// A Kafka of its own and a topic in it.
struct Bench {
    flink: Flink,
    kafka: Kafka,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let flink = Flink::install().unwrap();
        let installed = lab::install_servers().unwrap();
        let folder = TempDir::new().unwrap();
        let at = folder.path().join("kafka");
        let mut kafka = Kafka::start(&installed, &at, KafkaOptions::default()).unwrap();
        kafka.wait_ready(READY_WITHIN).unwrap();
        topic::create(&kafka.broker(), TOPIC, PARTITIONS).await.unwrap();
        Self { flink, kafka, _folder: folder }
    }

    /// Appends events in their order, each to the partition of its key.
    async fn write(&self, events: &Events) {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", self.kafka.broker())
            .set("enable.idempotence", "true")
            .create()
            .unwrap();
        let sent = events.events.iter().map(|(key, event)| {
            let record = FutureRecord::to(TOPIC).key(key);
            let record = FutureRecord { payload: event.as_ref(), ..record };
            producer.send_result(record).map_err(|(error, _)| error).unwrap()
        });
        let sent = futures::future::try_join_all(sent.collect::<Vec<_>>());
        let sent = tokio::time::timeout(WRITTEN_WITHIN, sent).await.unwrap().unwrap();
        assert!(sent.iter().all(Result::is_ok));
    }
}

const TOPIC: &str = "rows";

/// Events in Debezium's JSON without schema, and the rows that they leave.
struct Events {
    key: &'static str,
    events: Vec<(String, Option<String>)>,
    rows: Rows,
}

impl Events {
    fn of_rows_by(key: &'static str) -> Self {
        Self { key, events: vec![], rows: Rows::new() }
    }

    fn insert(&mut self, row: Value) {
        let key = row[self.key].clone();
        self.push(&key, "c", &Value::Null, &row);
        self.rows.insert(key.to_string(), row);
    }

    /// Says no more of the row than its key.
    fn delete(&mut self, key: &Value) {
        self.push(key, "d", &json!({self.key: key}), &Value::Null);
        self.rows.remove(&key.to_string());
    }

    fn upsert(&mut self, row: Value) {
        self.delete(&row[self.key].clone());
        self.insert(row);
    }

    /// What lets Kafka forget a row; may follow a deletion.
    fn tombstone(&mut self, key: &Value) {
        self.events.push((json!({self.key: key}).to_string(), None));
    }

    /// As after a failure: the last events come once more, in their order.
    fn repeat_last(&mut self, events: usize) {
        self.events.extend_from_within(self.events.len() - events..);
    }

    fn push(&mut self, key: &Value, op: &str, before: &Value, after: &Value) {
        let source = json!({"connector": "milvus", "db": "default", "table": "a", "ts_ms": 1});
        let event =
            json!({"before": before, "after": after, "source": source, "op": op, "ts_ms": 2});
        self.events.push((json!({self.key: key}).to_string(), Some(event.to_string())));
    }
}

/// Texts that a careless reader or writer damages.
const TEXTS: [&str; 8] =
    ["", "plain", "\"\\'`", "\u{0}\u{1}\n\r\t", "äß漢字", "😀\u{2028}", "null", "{\"a\":1}"];

fn odd_text(number: u64) -> String {
    format!("{}{number}", TEXTS[number as usize % TEXTS.len()])
}

fn of_every_type(number: u64, version: u64) -> Value {
    let tiny = f32::from_bits(1) * version as f32;
    let vector = [number as f32 / 3.0, -0.1, tiny, f32::MAX, f32::MIN_POSITIVE];
    json!({
        "id": odd_text(number),
        "name": TEXTS[(number + version) as usize % TEXTS.len()],
        "flag": (number + version).is_multiple_of(2),
        "small": i8::MIN,
        "large": if number.is_multiple_of(2) { i64::MAX } else { i64::MIN },
        "float": number as f32 / 7.0,
        "double": number as f64 / 7.0 + version as f64,
        "vector": vector,
        "document": {"a": [1, {"b": null}, [], {}], "text": odd_text(version), "half": 0.5},
        "$meta": {"any key": version, "large": i64::MAX},
    })
}

const EVERY_TYPE: Table<'_> = Table {
    columns: &[
        ("id", "STRING"),
        ("name", "STRING"),
        ("flag", "BOOLEAN"),
        ("small", "TINYINT"),
        ("large", "BIGINT"),
        ("float", "FLOAT"),
        ("double", "DOUBLE"),
        ("vector", "ARRAY<FLOAT>"),
        ("document", "STRING"),
        ("$meta", "STRING"),
    ],
    key: "id",
};

/// A row as Flink has it: nested JSON is text, and single floats are written so that they are right
/// when they are read as such.
fn as_in_milvus(mut row: Value) -> Value {
    let single = |value: &Value| json!(value.as_f64().unwrap() as f32);
    for column in ["document", "$meta"] {
        row[column] = serde_json::from_str(row[column].as_str().unwrap()).unwrap();
    }
    row["vector"] = row["vector"].as_array().unwrap().iter().map(single).collect();
    row["float"] = single(&row["float"]);
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_exactly_the_rows_that_the_events_leave() {
    let bench = Bench::new().await;
    let mut events = Events::of_rows_by("id");
    for number in 0..200 {
        events.insert(of_every_type(number, 0));
    }
    for number in (0..200).step_by(3) {
        events.upsert(of_every_type(number, 1));
    }
    for number in (0..200).step_by(7) {
        events.delete(&odd_text(number).into());
        events.tombstone(&odd_text(number).into());
    }
    for number in (0..200).step_by(14) {
        events.insert(of_every_type(number, 2));
    }
    // Of a row that never was.
    events.delete(&"absent".into());
    events.repeat_last(100);
    bench.write(&events).await;

    let found = bench.flink.materialise(&bench.kafka.broker(), TOPIC, &EVERY_TYPE).await.unwrap();
    let found: Rows = found.into_iter().map(|(key, row)| (key, as_in_milvus(row))).collect();
    assert_eq!(found.len(), events.rows.len());
    for (key, row) in &events.rows {
        assert_eq!(found.get(key), Some(row), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_follow_rows_of_which_only_the_key_is_deleted() {
    let bench = Bench::new().await;
    let row = |id: u64, size: u64| json!({"id": id, "kind": id % 4, "size": size});
    let mut events = Events::of_rows_by("id");
    for id in 0..100 {
        events.insert(row(id, 1));
    }
    for id in (0..100).step_by(2) {
        events.upsert(row(id, 1000));
    }
    for id in (0..100).filter(|id| id % 4 == 3 || id % 10 == 0) {
        events.delete(&id.into());
    }
    events.repeat_last(60);
    bench.write(&events).await;

    let mut sums = Rows::new();
    for row in events.rows.values() {
        let no_sum = || json!({"kind": row["kind"], "many": 0, "size": 0});
        let sum = sums.entry(row["kind"].to_string()).or_insert_with(no_sum);
        sum["many"] = json!(sum["many"].as_u64().unwrap() + 1);
        sum["size"] = json!(sum["size"].as_u64().unwrap() + row["size"].as_u64().unwrap());
    }
    assert_eq!(sums.len(), 3, "one kind is gone");
    let column = |name| (name, "BIGINT");
    let changes = Table { columns: &["id", "kind", "size"].map(column), key: "id" };
    let result = Table { columns: &["kind", "many", "size"].map(column), key: "kind" };
    let query = "SELECT kind, COUNT(*), SUM(size) FROM changes GROUP BY kind";
    let broker = bench.kafka.broker();
    let found = bench.flink.query(&broker, TOPIC, &changes, query, &result).await.unwrap();
    assert_eq!(found, sums);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_flink_cannot_read_ends_the_job_with_a_reason() {
    let bench = Bench::new().await;
    let mut events = Events::of_rows_by("id");
    // Which row is gone must be said in the event, not only in its key.
    events.push(&json!(1), "d", &Value::Null, &Value::Null);
    bench.write(&events).await;
    let table = Table { columns: &[("id", "BIGINT")], key: "id" };
    let failed = bench.flink.materialise(&bench.kafka.broker(), TOPIC, &table).await.unwrap_err();
    let failed = failed.to_string();
    assert!(failed.contains(r#"The "before" field of DELETE message is null"#), "{failed}");
}
