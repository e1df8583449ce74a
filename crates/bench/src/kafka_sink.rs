//! How fast a backlog is written to a Kafka, in each format, beside the raw reading of the same topics,
//! in turns. That Kafka is a broker of its own on the same cores.

use crate::backlog::Backlog;
use crate::catch_up::read_raw;
use crate::figures::{line, median, mib};
use crate::scene::Scene;
use anyhow::{Result, ensure};
use lab::{Kafka, KafkaOptions, READY_WITHIN, Server};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::raw_reader::RawResult;
use tokio::time::{Instant, interval};

/// A backlog of gigabytes takes a minute or two.
const WRITTEN_WITHIN: Duration = Duration::from_secs(900);

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Name, options of the task, what is aimed at.
fn forms() -> [(&'static str, Value, &'static str); 4] {
    let base64 = json!({"format": "change_event", "vectors": "base64"});
    let array = json!({"format": "change_event", "vectors": "array"});
    [
        ("replicate", json!({"format": "replicate"}), "0.50"),
        ("replicate, exactly once", json!({"format": "replicate", "delivery": "exactly_once"}), ""),
        ("change events, vectors in base64", base64, ""),
        ("change events, vectors as arrays", array, ""),
    ]
}

/// All rounds.
pub(crate) struct KafkaSink {
    raw: Vec<RawResult>,
    forms: Vec<(&'static str, &'static str, Vec<Run>)>,
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
    let forms = forms().into_iter().map(|(name, _, aim)| (name, aim, Vec::new())).collect();
    let mut all = KafkaSink { raw: Vec::new(), forms, rows };
    for _ in 0..rounds {
        all.raw.push(read_raw(scene).await?);
        for (form, (.., runs)) in self::forms().iter().zip(&mut all.forms) {
            runs.push(run(scene, rows, &form.1).await?);
        }
    }
    Ok(all)
}

async fn run(scene: &Scene, rows: u64, form: &Value) -> Result<Run> {
    let folder = tempfile::Builder::new().prefix("kafka-").tempdir_in(scene.folder())?;
    let at = folder.path().to_owned();
    let started = tokio::task::spawn_blocking(move || {
        let mut kafka = Kafka::start(&lab::install_servers()?, &at, KafkaOptions::default())?;
        kafka.wait_ready(READY_WITHIN)?;
        Ok::<_, anyhow::Error>(kafka)
    });
    let mut kafka = started.await??;
    let mut service = scene.service().await?;
    let before = service.usage()?;
    let begun = Instant::now();
    let mut target = json!({"address": kafka.broker(), "topic": "all", "partitions": 4});
    for (key, value) in form.as_object().into_iter().flatten() {
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
    kafka.kill()?;
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
        for (name, aim, runs) in &self.forms {
            let of = |f: fn(&Run) -> f64| median(runs.iter().map(f).collect());
            let seconds = of(|run| run.seconds);
            let rate = bytes / 1e6 / seconds;
            line(&format!("{name}: read"), &format!("{rate:.0} MB/s"), "");
            line("    rows", &format!("{:.0} rows/s", self.rows as f64 / seconds), "");
            line("    ratio to the raw reader", &format!("{:.2}", rate / raw), aim);
            let cpu = of(|run| run.cpu_seconds) * 1e9 / bytes;
            line("    processor", &format!("{cpu:.2} s/GB"), "");
            line("    peak memory", &format!("{:.0} MiB", of(|run| mib(run.peak_bytes))), "");
        }
    }
}
