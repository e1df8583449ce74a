//! The Kafka sink against the suite of sinks, in both formats, exact and not. Never reads a topic
//! with the sink's client.

use crate::kafka_sink::read;
use crate::support::shared_kafka;
use crate::topics::{end_of, make_topic, wait_for_more};
use ::conformance::sink::{self, COLLECTION, DATABASE, Line, SinkUnderTest, rows_of, texts};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use connectors::kafka_sink::{Format, KafkaSink, KafkaSinkOptions};
use milvus_wire::message::{Message, decode};
use replication::error::Kind;
use replication::ports::{Change, Sink};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_sink_is_a_sink_with_change_events_at_least_once() {
    sink::suite(&Logs::new("suite-events", Format::ChangeEvent, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_sink_is_a_sink_with_change_events_exactly_once() {
    sink::suite(&Logs::new("suite-exact-events", Format::ChangeEvent, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_sink_is_a_sink_in_the_go_tools_format_at_least_once() {
    sink::suite(&Logs::new("suite-go", Format::Replicate, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kafka_sink_is_a_sink_in_the_go_tools_format_exactly_once() {
    sink::suite(&Logs::new("suite-exact-go", Format::Replicate, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_sink_whose_broker_is_away_is_not_opened() {
    let nobody = lab::claim_port().unwrap();
    let sink = |format, exact| sink_of("away", &nobody.address(), format, exact);
    let exact = [Format::Replicate, Format::ChangeEvent].map(|format| sink(format, true));
    let other = [Format::Replicate, Format::ChangeEvent].map(|format| sink(format, false));
    sink::absence(&[exact, other].concat()).await;
}

fn sink_of(task: &str, broker: &str, format: Format, exact: bool) -> Arc<dyn Sink> {
    let topic = match format {
        Format::Replicate => "{task}.replicate",
        Format::ChangeEvent => "{task}.{database}.{collection}",
    };
    let options = KafkaSinkOptions {
        format,
        exact,
        partitions: Some(1),
        ..KafkaSinkOptions::new(task, broker, topic)
    };
    Arc::new(KafkaSink::new(options).unwrap())
}

/// The logs of some tasks, whose topics begin with `prefix`.
struct Logs {
    broker: String,
    prefix: &'static str,
    format: Format,
    exact: bool,
}

impl Logs {
    fn new(prefix: &'static str, format: Format, exact: bool) -> Self {
        Self { broker: shared_kafka().broker(), prefix, format, exact }
    }

    fn name(&self, task: &str) -> String {
        format!("{}-{task}", self.prefix)
    }

    /// The topic with the rows of a task.
    fn rows(&self, task: &str) -> String {
        match self.format {
            Format::Replicate => format!("{}.replicate", self.name(task)),
            Format::ChangeEvent => format!("{}.{DATABASE}.{COLLECTION}", self.name(task)),
        }
    }
}

#[async_trait]
impl SinkUnderTest for Logs {
    fn sink(&self, task: &str) -> Arc<dyn Sink> {
        sink_of(&self.name(task), &self.broker, self.format, self.exact)
    }

    async fn read(&self, task: &str) -> Vec<Line> {
        let rows = read(&self.broker, &self.rows(task)).await;
        let in_part = |part: &str, texts: Vec<String>| {
            let line = |text| Line { part: part.to_owned(), text };
            texts.into_iter().map(line).collect::<Vec<_>>()
        };
        match self.format {
            Format::Replicate => {
                let texts = rows.iter().filter_map(|got| got.value.as_ref()).flat_map(of_go);
                in_part("", texts.collect())
            }
            Format::ChangeEvent => {
                let events = read(&self.broker, &format!("{}.events", self.name(task))).await;
                let verb = |op: &str| if op == "d" { "delete" } else { "insert" };
                let rows = rows.iter().map(|got| format!("{} {}", verb(got.op()), got.id()));
                let events = events.iter().filter_map(|got| of_event(got.value.as_ref()?));
                [in_part(ROWS, rows.collect()), in_part(EVENTS, events.collect())].concat()
            }
        }
    }

    fn shown(&self, changes: &[Change<'_>]) -> Vec<Line> {
        let part = |change: &Change<'_>| match (self.format, change) {
            (Format::Replicate, _) => "",
            (Format::ChangeEvent, Change::Message(_)) => ROWS,
            (Format::ChangeEvent, _) => EVENTS,
        };
        let lines = |change: &Change<'_>| {
            let part = part(change).to_owned();
            texts(change).into_iter().map(move |text| Line { part: part.clone(), text })
        };
        changes.iter().flat_map(lines).collect()
    }

    async fn cut_off(&self, task: &str, sink: &dyn Sink, mark: &str, changes: &[Change<'_>]) {
        let topic = self.rows(task);
        if self.format == Format::ChangeEvent {
            // A topic that is not there is looked for slowly.
            make_topic(&self.broker, &topic, 1, &[]).await;
        }
        let before = end_of(&self.broker, &topic).await;
        tokio::select! {
            biased;
            () = wait_for_more(&self.broker, &topic, before) => {}
            done = sink.append(mark, changes) => panic!("over before it was cut off: {done:?}"),
        }
        let next = sink.append("next", &[]).await;
        assert_eq!(next.map_err(|error| error.kind), Err(Kind::Transient), "it is to be opened");
    }

    fn long(&self) -> (u64, usize) {
        (300, 100_000)
    }

    fn late_by(&self) -> Duration {
        // A producer that was left over would have connected again by the end of this.
        Duration::from_secs(5)
    }
}

/// The parts of a log of change events.
const ROWS: &str = "rows";
const EVENTS: &str = "events";

/// What a record in the Go tool's format says.
fn of_go(value: &Value) -> Vec<String> {
    let data: Value = serde_json::from_str(value["data"].as_str().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match value["info"].as_str().unwrap() {
        "replicate message" => {
            let messages = data["MsgsBytes"].as_array().unwrap().iter().map(text);
            messages.flat_map(|bytes| of_message(STANDARD.decode(bytes).unwrap())).collect()
        }
        "create collection" => {
            vec![format!("CreateCollection {}", text(&data["Schema"]["CollectionName"]))]
        }
        "create partition" => vec![format!("CreatePartition {}", text(&data["PartitionName"]))],
        other => panic!("nobody asked for {other}"),
    }
}

fn of_message(bytes: Vec<u8>) -> Vec<String> {
    match decode(bytes.into()).unwrap() {
        Message::Row(row) => rows_of(&row),
        _ => vec![],
    }
}

/// What an event says; nothing if it says how far the task is.
fn of_event(event: &Value) -> Option<String> {
    let text = |name: &str| event[name].as_str().unwrap().to_owned();
    match text("type").as_str() {
        "create_collection" => Some(format!("CreateCollection {}", text("collection"))),
        "create_partition" => Some(format!("CreatePartition {}", text("partition"))),
        "progress" => None,
        other => panic!("nobody asked for {other}"),
    }
}
