//! Measures how fast a backlog is written to a Kafka in each format, in turns with a raw reader of
//! the same topics. That Kafka is a broker of its own on the same cores, never the source's. The
//! format that has an aim is also written to a broker that only acknowledges, as for catching up.

use crate::backlog::Backlog;
use crate::catch_up::read_raw;
use crate::figures::{line, median, mib};
use crate::raw_write::raw_write;
use crate::scene::Scene;
use anyhow::{Result, ensure};
use lab::{Kafka, KafkaOptions, READY_WITHIN, Server};
use rdkafka::mocking::MockCluster;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::raw_reader::RawResult;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval};

/// A backlog of gigabytes takes a minute or two.
const WRITTEN_WITHIN: Duration = Duration::from_secs(900);

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Of a topic of rows.
const TOPIC: &str = "all";
const PARTITIONS: i32 = 4;

/// What is measured.
struct Form {
    name: &'static str,
    /// Of the task.
    options: Value,
    /// Into a Kafka that acknowledges and forgets, or else into the broker.
    is_acknowledged_only: bool,
    aim: &'static str,
}

fn forms() -> [Form; 5] {
    let form = |name, options| Form { name, options, is_acknowledged_only: false, aim: "" };
    let replicate = json!({"format": "replicate"});
    let exactly = json!({"format": "replicate", "delivery": "exactly_once"});
    let base64 = json!({"format": "change_event", "vectors": "base64"});
    let array = json!({"format": "change_event", "vectors": "array"});
    let acknowledged = form("replicate, only acknowledged", replicate.clone());
    [
        Form { is_acknowledged_only: true, aim: "0.50", ..acknowledged },
        Form { aim: "0.50", ..form("replicate", replicate) },
        form("replicate, exactly once", exactly),
        form("change events, vectors in base64", base64),
        form("change events, vectors as arrays", array),
    ]
}

/// A broker that keeps only the newest records of each topic: all formats and rounds write to it.
/// It has Java's second compiler, as in production; without it the broker checks records in
/// interpreted bytecode.
fn broker(scene: &Scene) -> Result<Kafka> {
    let kept = [
        ("log.segment.bytes", "67108864"),
        ("log.retention.bytes", "134217728"),
        ("log.retention.check.interval.ms", "2000"),
        ("log.segment.delete.delay.ms", "1000"),
    ];
    let properties = kept.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let jvm_args = vec!["-XX:TieredStopAtLevel=4".into()];
    let options = KafkaOptions { properties, jvm_args, ..KafkaOptions::default() };
    let folder = scene.folder().join("kafka-of-the-sink");
    let mut kafka = Kafka::start(&lab::install_servers()?, &folder, options)?;
    kafka.wait_ready(READY_WITHIN)?;
    Ok(kafka)
}

/// All rounds.
pub(crate) struct KafkaSink {
    raw: Vec<RawResult>,
    /// Megabytes a second into the broker, without reading anything.
    written: Vec<f64>,
    runs: Vec<(Form, Vec<Run>)>,
    rows: u64,
}

struct Run {
    seconds: f64,
    cpu_seconds: f64,
    peak_bytes: u64,
}

/// Reads the backlog raw and writes it in every form, in turns.
pub(crate) async fn measure(scene: &Scene, backlog: &Backlog, rounds: usize) -> Result<KafkaSink> {
    let rows = backlog.rows;
    let mut broker = tokio::task::block_in_place(|| broker(scene))?;
    let runs = forms().into_iter().map(|form| (form, Vec::new())).collect();
    let mut all = KafkaSink { raw: Vec::new(), written: Vec::new(), runs, rows };
    // A broker that has just started interprets its code, and then compiles it, for some seconds.
    for (form, _) in all.runs.iter().take(2) {
        run(scene, rows, form, &broker.broker(), TOPIC).await?;
    }
    for round in 0..rounds {
        let read = read_raw(scene).await?;
        // Base64 makes four bytes of three.
        let (kafka, bytes) = (broker.broker(), read.bytes / 3 * 4);
        let written = spawn_blocking(move || raw_write(&kafka, TOPIC, PARTITIONS, bytes));
        all.written.push(written.await??);
        all.raw.push(read);
        for (form, runs) in &mut all.runs {
            let topic = format!("{round} {}", form.name);
            runs.push(match form.is_acknowledged_only {
                true => run_acknowledged(scene, rows, form, &topic).await?,
                false => run(scene, rows, form, &broker.broker(), &topic).await?,
            });
        }
    }
    broker.kill()?;
    Ok(all)
}

/// The broker is librdkafka's own, in this process: it keeps a few megabytes of a partition.
async fn run_acknowledged(scene: &Scene, rows: u64, form: &Form, topic: &str) -> Result<Run> {
    let cluster = MockCluster::new(1)?;
    cluster.create_topic(&topic.replace([' ', ','], "_"), PARTITIONS, 1)?;
    run(scene, rows, form, &cluster.bootstrap_servers(), topic).await
}

async fn run(scene: &Scene, rows: u64, form: &Form, kafka: &str, topic: &str) -> Result<Run> {
    let mut service = scene.service().await?;
    let before = service.usage()?;
    let begun = Instant::now();
    let mut target = json!({"address": kafka, "topic": topic, "partitions": PARTITIONS});
    for (key, value) in form.options.as_object().into_iter().flatten() {
        target[key] = value.clone();
    }
    let everything = json!({"*": [{"name": "*", "use_start_position": true}]});
    let request = json!({"kafka_connect_param": target, "db_collections": everything});
    let task = service.api().request("create", request).await?["task_id"].clone();
    let mut beat = interval(LOOK_EVERY);
    let written = loop {
        beat.tick().await;
        let label = "op_type=\"write\"";
        let written = service.api().metric("milvus_cdc_replicate_data_cnt", label).await;
        let written = written.unwrap_or_default() as u64;
        if written >= rows {
            break written;
        }
        service.must_run()?;
        if begun.elapsed() > WRITTEN_WITHIN {
            let task = service.api().task(task.as_str().unwrap_or_default()).await?;
            anyhow::bail!("{written} of {rows} rows after {WRITTEN_WITHIN:?}: {task}");
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let after = service.usage()?;
    ensure!(written == rows, "{written} rows were written instead of {rows}");
    service.stop()?;
    let cpu_seconds = (after.cpu - before.cpu).as_secs_f64();
    Ok(Run { seconds, cpu_seconds, peak_bytes: after.peak_bytes })
}

impl KafkaSink {
    /// Shows the medians.
    pub(crate) fn print(&self) {
        let bytes = self.raw.first().map_or(0, |raw| raw.bytes) as f64;
        let raw = median(self.raw.iter().map(RawResult::megabytes_per_second).collect());
        line("bytes in the queue's messages", &format!("{:.0} MB", bytes / 1e6), "");
        line("raw reader", &format!("{raw:.0} MB/s"), "");
        let written = median(self.written.clone());
        line("raw writer into the broker", &format!("{written:.0} MB/s"), "");
        for (Form { name, aim, is_acknowledged_only, .. }, runs) in &self.runs {
            let of = |f: fn(&Run) -> f64| median(runs.iter().map(f).collect());
            let seconds = of(|run| run.seconds);
            let rate = bytes / 1e6 / seconds;
            line(&format!("{name}: read"), &format!("{rate:.0} MB/s"), "");
            line("    rows", &format!("{:.0} rows/s", self.rows as f64 / seconds), "");
            line("    ratio to the raw reader", &format!("{:.2}", rate / raw), aim);
            if name.starts_with("replicate") && !is_acknowledged_only {
                let ratio = format!("{:.2}", rate * 4.0 / 3.0 / written);
                line("    ratio of its records to the raw writer", &ratio, "");
            }
            let cpu = of(|run| run.cpu_seconds) * 1e9 / bytes;
            line("    processor", &format!("{cpu:.2} s/GB"), "");
            line("    peak memory", &format!("{:.0} MiB", of(|run| mib(run.peak_bytes))), "");
        }
    }
}
