//! Measures how fast a task catches up with a backlog, and at what cost, in turns with a raw reader
//! of the same topics with the same client library and settings. The target only acknowledges and
//! counts; it never stores a row.

use crate::backlog::Backlog;
use crate::figures::{line, median, mib};
use crate::scene::Scene;
use anyhow::{Result, ensure};
use connectors::kafka::KafkaOptions;
use serde_json::json;
use std::time::Duration;
use testkit::counting::{CountingOptions, CountingProcess};
use testkit::raw_reader::{RawRead, RawResult};
use tokio::time::{Instant, interval};

/// A backlog of gigabytes takes some tens of seconds.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(600);

/// How often progress and memory are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// All rounds.
pub(crate) struct CatchUp {
    rows: u64,
    raw: Vec<RawResult>,
    ours: Vec<Run>,
}

/// One catching up.
struct Run {
    seconds: f64,
    cpu_seconds: f64,
    target_cpu_seconds: f64,
    peak_bytes: u64,
    /// Resident memory when a quarter, half and three quarters were there.
    quarters: [u64; 3],
    calls: u64,
}

/// Reads the backlog raw and through milvus-cdc, in turns.
pub(crate) async fn measure(scene: &Scene, backlog: &Backlog, rounds: usize) -> Result<CatchUp> {
    let mut all = CatchUp { rows: backlog.rows, raw: vec![], ours: vec![] };
    for _ in 0..rounds {
        all.raw.push(read_raw(scene).await?);
        all.ours.push(run(scene, backlog.rows).await?);
    }
    Ok(all)
}

/// Reads the backlog and does nothing with it.
pub(crate) async fn read_raw(scene: &Scene) -> Result<RawResult> {
    let brokers = scene.pair.queue.address();
    let settings = match brokers.starts_with("pulsar") {
        true => Vec::new(),
        false => KafkaOptions::new(&brokers).reading_settings().into_iter().collect(),
    };
    let read = RawRead { brokers, topics: scene.topics(), settings };
    tokio::task::spawn_blocking(move || read.run_apart()).await?
}

async fn run(scene: &Scene, rows: u64) -> Result<Run> {
    let target = CountingProcess::start(&CountingOptions::default(), scene.folder()).await?;
    let mut service = scene.service().await?;
    let before = service.usage()?;
    let begun = Instant::now();
    let whole = json!({"db_collections": {"*": [{"name": "*", "use_start_position": true}]}});
    let task = service.api().create_task(&target.address(), whole).await?;
    let mut quarters = Vec::new();
    let mut beat = interval(LOOK_EVERY);
    let counts = loop {
        beat.tick().await;
        let counts = target.counts().await?;
        if counts.inserted * 4 >= rows * (quarters.len() as u64 + 1) && quarters.len() < 3 {
            quarters.push(service.usage()?.resident_bytes);
        }
        if counts.inserted >= rows {
            break counts;
        }
        service.must_run()?;
        if begun.elapsed() > CAUGHT_UP_WITHIN {
            let task = service.api().task(&task).await?;
            anyhow::bail!("{} of {rows} rows after {CAUGHT_UP_WITHIN:?}: {task}", counts.inserted);
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    let after = service.usage()?;
    ensure!(counts.inserted == rows, "{} rows came instead of {rows}", counts.inserted);
    let target_cpu_seconds = target.usage()?.cpu.as_secs_f64();
    service.stop()?;
    Ok(Run {
        seconds,
        cpu_seconds: (after.cpu - before.cpu).as_secs_f64(),
        target_cpu_seconds,
        peak_bytes: after.peak_bytes,
        quarters: [0, 1, 2].map(|at| quarters.get(at).copied().unwrap_or_default()),
        calls: counts.calls,
    })
}

impl CatchUp {
    /// Shows the medians.
    pub(crate) fn print(&self) {
        let bytes = self.raw.first().map_or(0, |raw| raw.bytes) as f64;
        let of_raw = |f: fn(&RawResult) -> f64| median(self.raw.iter().map(f).collect());
        let of_ours = |f: fn(&Run) -> f64| median(self.ours.iter().map(f).collect());
        let raw_rate = of_raw(RawResult::megabytes_per_second);
        let raw_cpu = of_raw(RawResult::cpu_seconds_per_gigabyte);
        let seconds = of_ours(|run| run.seconds);
        let (rate, cpu) = (bytes / 1e6 / seconds, of_ours(|run| run.cpu_seconds) * 1e9 / bytes);
        line("bytes in the queue's messages", &format!("{:.0} MB", bytes / 1e6), "");
        line("raw reader", &format!("{raw_rate:.0} MB/s"), "");
        line("raw reader, processor", &format!("{raw_cpu:.2} s/GB"), "");
        line("raw reader, peak memory", &format!("{:.0} MiB", of_raw(|r| mib(r.peak_bytes))), "");
        line("milvus-cdc", &format!("{rate:.0} MB/s"), "");
        line("milvus-cdc", &format!("{:.0} rows/s", self.rows as f64 / seconds), "");
        line("ratio to the raw reader", &format!("{:.2}", rate / raw_rate), "0.60");
        line("milvus-cdc, processor", &format!("{cpu:.2} s/GB"), "");
        line("processor, ratio to the raw reader", &format!("{:.2}", cpu / raw_cpu), "1.80");
        let peak = of_ours(|run| mib(run.peak_bytes));
        line("milvus-cdc, peak memory", &format!("{peak:.0} MiB"), "150 MiB");
        for (at, name) in ["a quarter", "half", "three quarters"].iter().enumerate() {
            let resident: Vec<_> = self.ours.iter().map(|run| mib(run.quarters[at])).collect();
            line(&format!("resident after {name}"), &format!("{:.0} MiB", median(resident)), "");
        }
        let target = of_ours(|run| run.target_cpu_seconds) * 1e9 / bytes;
        line("the counting target, processor", &format!("{target:.2} s/GB"), "");
        line("calls", &format!("{:.0}", of_ours(|run| run.calls as f64)), "");
        let each: Vec<_> = self
            .raw
            .iter()
            .zip(&self.ours)
            .map(|(raw, run)| {
                format!("{:.0}/{:.0}", bytes / 1e6 / run.seconds, raw.megabytes_per_second())
            })
            .collect();
        line("each round, milvus-cdc/raw, MB/s", &each.join(" "), "");
    }
}
